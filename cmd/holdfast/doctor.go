package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/doctor"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const doctorHelp = `Looks at a set-up from outside in, as a caller meets it: the gateway, Envoys, the control
plane, what nodes say to what they are given, the processors, their policies, the
servers' endpoints, an MCP handshake on each route, Redis, traces, clocks and open files. Each
line is ok, warn or fail, and what is not ok says what to do. Nothing is changed.

Addresses are those of the running 'holdfast up', else the default ones.

Exit codes: 0 nothing fails, 1 something does, 2 the command was not understood.`

const (
	defaultGateway       = "127.0.0.1:10000"
	defaultDoctorTimeout = 30 * time.Second
	maxDoctorTimeout     = 5 * time.Minute
)

type doctorFlags struct {
	connectionFlags
	format                  format
	gateway                 string
	envoyAdmins, processors []string
	headers                 []string
	timeout                 time.Duration
}

func newDoctor(env *environment) *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find out what is wrong with a set-up, and what to do", Long: doctorHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return examine(cmd.Context(), env, &flags) },
	}
	flags.format.add(cmd, "")
	f := cmd.Flags()
	f.StringVar(&flags.gateway, "gateway", "", "`host:port` where clients connect")
	f.StringSliceVar(&flags.envoyAdmins, "envoy-admin", nil, "`host:port` of the admin interface of an Envoy; may be repeated")
	f.StringSliceVar(&flags.processors, "processor", nil, "HTTP `address` of a processor, host:port; may be repeated")
	f.StringArrayVar(&flags.headers, "header", nil, "`name: value` for the MCP handshake, such as credentials; may be repeated")
	f.DurationVar(&flags.timeout, "timeout", defaultDoctorTimeout, "limit for everything")
	flags.add(cmd, env)
	return cmd
}

func examine(ctx context.Context, env *environment, flags *doctorFlags) error {
	if flags.timeout <= 0 || flags.timeout > maxDoctorTimeout {
		return usagef(fmt.Sprintf("--timeout %v is not above 0s and at most %v", flags.timeout, maxDoctorTimeout))
	}
	header, err := headersOf(flags.headers)
	if err != nil {
		return err
	}
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	admins, err := flags.envoys(flags.envoyAdmins)
	if err != nil {
		return err
	}
	defer closeAll(admins)
	setup := flags.setup()
	setup.Header, setup.Envoys = header, admins
	setup.Plane = func(ctx context.Context) (*adminv1.StatusResponse, error) {
		status, err := client.Status(ctx, &adminv1.StatusRequest{})
		if err == nil {
			fillHealth(status, askEnvoys(ctx, admins))
		}
		return status, err //nolint:wrapcheck // in words already
	}
	defer setup.HTTP.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, flags.timeout)
	defer cancel()
	return showFindings(ctx, env, flags.format, setup)
}

// setup is what is known of addresses.
func (f *doctorFlags) setup() *doctor.Setup {
	s := &doctor.Setup{
		Gateway: defaultGateway, PlaneAddress: stack.DefaultXDSAdmin, Processors: []string{"127.0.0.1:18011", "127.0.0.1:18012"},
		HTTP: &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Now:  time.Now,
	}
	if info, err := stack.ReadRunInfo(f.state); err == nil {
		s.Gateway, s.PlaneAddress, s.Processors = info.Gateway, info.XDSAdmin, info.ProcessorHTTP
		if info.Tracing != nil {
			s.Traces = info.Tracing.Query
		}
	}
	if f.server != "" {
		s.PlaneAddress, _ = strings.CutPrefix(f.server, "http://")
		if s.PlaneAddress == f.server {
			// Its clock cannot be read from a page there.
			s.PlaneAddress = ""
		}
	}
	if f.gateway != "" {
		s.Gateway = f.gateway
	}
	if len(f.processors) > 0 {
		s.Processors = f.processors
	}
	return s
}

func showFindings(ctx context.Context, env *environment, f format, setup *doctor.Setup) error {
	all, failed := []doctor.Finding{}, false
	paint := env.painter(env.Stdout)
	setup.Examine(ctx, func(one doctor.Finding) {
		all, failed = append(all, one), failed || one.State == doctor.Fail
		if f == formatTable {
			say(env.Stdout, "%s %-13s %s\n", doctorState(paint, one.State), one.Check, oneLine(one.Message))
			if one.Fix != "" {
				say(env.Stdout, "%20s→ %s\n", "", one.Fix)
			}
		}
	})
	if f != formatTable {
		text, err := json.Marshal(map[string]any{"findings": all})
		if err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		if err := writeStructured(env.Stdout, f, text); err != nil {
			return err
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

// headersOf reads "name: value".
func headersOf(lines []string) (http.Header, error) {
	out := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			// The line itself may be a secret.
			return nil, usagef("--header wants 'name: value'")
		}
		out.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return out, nil
}

func doctorState(p painter, s doctor.State) string {
	color := map[doctor.State]string{doctor.OK: green, doctor.Warn: yellow, doctor.Fail: red}[s]
	return p.paint(color, fmt.Sprintf("%-4s", s))
}
