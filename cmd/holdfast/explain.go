package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

const explainHelp = `Says what Holdfast would do with a message, by the same code that does it: the rule
that decides and why, the server and the order of its regions, retries, time limits,
and the answer if every endpoint were down. Nothing is sent.

The message is JSON on the command line, a file, or - for standard input. Headers
that a client of the message's era would send are added where --header does not
give them.

  holdfast explain '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}'

Exit codes: 0 it was explained (a refusal too), 1 the configuration or message
could not be read, 2 the command was not understood.`

type explainFlags struct {
	config, path, region, verb string
	headers                    []string
}

func newExplain(env *environment) *cobra.Command {
	var flags explainFlags
	cmd := &cobra.Command{
		Use: "explain MESSAGE | FILE | -", Short: "Say what Holdfast would do with a message, and why", Long: explainHelp,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return explain(env, flags, args) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.config, "config", "", "folder of the configuration (default examples/shopmax)")
	f.StringVar(&flags.path, "path", "/mcp", "path that the message is sent to")
	f.StringVar(&flags.region, "region", "", "region of the Envoy that gets it, for failover mode nearest")
	f.StringVar(&flags.verb, "verb", http.MethodPost, "HTTP method; without a message: GET or DELETE")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "request header, 'Name: value'; may be repeated")
	return cmd
}

func explain(env *environment, flags explainFlags, args []string) error {
	verb := strings.ToUpper(flags.verb)
	if (verb == http.MethodPost) != (len(args) == 1) {
		return usagef("give one message, or none with --verb GET or DELETE")
	}
	given, err := parseHeaders(flags.headers)
	if err != nil {
		return err
	}
	var body []byte
	if len(args) == 1 {
		if body, err = readMessage(env, args[0]); err != nil {
			return err
		}
	}
	dir := flags.config
	if dir == "" {
		if dir, err = env.shipped(filepath.Join("examples", "shopmax"), "config"); err != nil {
			return err
		}
	}
	cfg, err := config.Load(dir)
	if err != nil {
		return fmt.Errorf("loading the configuration in %s:\n%w", dir, err)
	}
	m, table, err := compileConfig(cfg, flags.region)
	if err != nil {
		return err
	}
	headers := clientHeaders(verb, body, given)
	text := table.Explain(&decide.Request{Verb: verb, Path: flags.path, Header: headers, Body: body})
	text.Regions = regionOrder(m, text.Server)
	say(env.Stdout, "%s", text)
	return nil
}

// compileConfig makes of cfg what an external processor decides by.
func compileConfig(cfg *config.Config, region string) (*model.Model, *decide.Table, error) {
	// No processor is asked; the model only wants one to be named.
	m, err := model.Build(cfg, model.Options{Region: region, Processors: []string{"unix:///explain"}})
	if err != nil {
		return nil, nil, fmt.Errorf("resolving the configuration: %w", err)
	}
	resources, err := snapshot.Build(m)
	if err != nil {
		return nil, nil, fmt.Errorf("building the resources: %w", err)
	}
	policies := make([]*policyv1.RoutePolicy, 0, len(resources.Policies))
	for _, name := range sortedNames(resources.Policies) {
		policies = append(policies, resources.Policies[name])
	}
	table, err := decide.Compile(policies)
	if err != nil {
		return nil, nil, fmt.Errorf("compiling the policies: %w", err)
	}
	return m, table, nil
}

func sortedNames[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// regionOrder is the failover order of the server that the message goes to.
func regionOrder(m *model.Model, server string) string {
	for _, s := range m.Servers {
		if s.Name != server {
			continue
		}
		steps := make([]string, 0, len(s.Priorities))
		for _, localities := range s.Priorities {
			together := make([]string, 0, len(localities))
			for _, l := range localities {
				endpoints := make([]string, 0, len(l.Endpoints))
				for _, e := range l.Endpoints {
					endpoints = append(endpoints, e.Name)
				}
				together = append(together, fmt.Sprintf("%s (%s)", l.Region, strings.Join(endpoints, ", ")))
			}
			steps = append(steps, strings.Join(together, " and "))
		}
		return strings.Join(steps, ", then ")
	}
	return ""
}

// maxMessage is more than any gateway takes, so that its limit can be explained.
const maxMessage = 8 << 20

// readMessage reads the message that the argument is or names.
func readMessage(env *environment, argument string) ([]byte, error) {
	trimmed := strings.TrimSpace(argument)
	if strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "[") {
		return []byte(argument), nil
	}
	from := env.Stdin
	if argument != "-" {
		file, err := os.Open(argument) //nolint:gosec // the operator's path
		if err != nil {
			return nil, fmt.Errorf("reading the message: %w; MESSAGE is JSON-RPC that begins with { or [, the name of a file with such a message, or - for standard input", err)
		}
		defer file.Close() //nolint:errcheck // only read
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	if len(body) > maxMessage {
		return nil, fmt.Errorf("the message has more than %d bytes", maxMessage)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errors.New("there is no message: it is empty")
	}
	return bytes.TrimRight(body, "\r\n"), nil
}
