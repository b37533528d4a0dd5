package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// defaultServer is the admin API's address where nobody says another.
const defaultServer = "http://" + stack.DefaultXDSAdmin

// tokenFileVariable names the token file where --token-file does not.
const tokenFileVariable = "HOLDFAST_TOKEN_FILE" //nolint:gosec // a name, not a secret

// connectionFlags say where the control plane is and who asks; every command that
// talks to it has them.
type connectionFlags struct {
	server, state, tokenFile string
	tls                      apiclient.TLSFiles
}

// add gives a command the flags, in a section of its own: people look for the
// command's flags first.
func (c *connectionFlags) add(cmd *cobra.Command, env *environment) {
	f := pflag.NewFlagSet("connection", pflag.ContinueOnError)
	f.StringVar(&c.server, "server", "", "`address` of the admin API: http(s)://host:port or unix:///path (default: that of the\nrunning 'holdfast up', else "+defaultServer+")")
	f.StringVar(&c.state, "state", env.stateDir(), "state `folder` of the running 'holdfast up'")
	f.StringVar(&c.tokenFile, "token-file", "", "`file` with the token to show (default: what "+tokenFileVariable+" names)")
	f.StringVar(&c.tls.CA, "ca", "", "`file` with certificates to trust for https instead of the system's, PEM")
	f.StringVar(&c.tls.Cert, "cert", "", "`file` with a client certificate, PEM")
	f.StringVar(&c.tls.Key, "key", "", "`file` with its key, PEM")
	cmd.Flags().AddFlagSet(f)
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		cmd.InitDefaultHelpFlag()
		say(cmd.OutOrStderr(), "Usage:\n  %s\n\nFlags:\n%s\nFlags that say where the control plane is:\n%s",
			cmd.UseLine(), without(cmd.LocalFlags(), f).FlagUsages(), f.FlagUsages())
		return nil
	})
}

// without gives the flags of all that are not among some.
func without(all, some *pflag.FlagSet) *pflag.FlagSet {
	rest := pflag.NewFlagSet("rest", pflag.ContinueOnError)
	all.VisitAll(func(flag *pflag.Flag) {
		if some.Lookup(flag.Name) == nil {
			rest.AddFlag(flag)
		}
	})
	return rest
}

// open makes a client; nothing is asked yet.
func (c *connectionFlags) open(env *environment) (*apiclient.Client, error) {
	opts := apiclient.Options{Server: c.server}
	if opts.Server == "" {
		opts.Server = defaultServer
		if info, err := stack.ReadRunInfo(c.state); err == nil {
			opts.Server = "http://" + info.XDSAdmin
		}
	}
	tokenFile := c.tokenFile
	if tokenFile == "" {
		tokenFile = env.Getenv(tokenFileVariable)
	}
	var err error
	if tokenFile != "" {
		if opts.Token, err = apiclient.ReadToken(tokenFile); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
	}
	if opts.TLS, err = c.tls.Config(); err != nil {
		return nil, err //nolint:wrapcheck // it says which file
	}
	client, err := apiclient.New(opts)
	if err != nil {
		return nil, &usageError{err}
	}
	return client, nil
}

// envoys makes a client for each Envoy admin address, or for the one of the running
// stack where none is given. What cannot be made is left out when nobody asked for it.
func (c *connectionFlags) envoys(addresses []string) ([]*envoyadmin.Client, error) {
	if len(addresses) == 0 {
		info, err := stack.ReadRunInfo(c.state)
		if err != nil || info.EnvoyAdmin == "" || (c.server != "" && c.server != "http://"+info.XDSAdmin) {
			return nil, nil //nolint:nilerr // no stack runs here, or another one is meant
		}
		addresses = []string{info.EnvoyAdmin}
	}
	out := make([]*envoyadmin.Client, 0, len(addresses))
	for _, address := range addresses {
		client, err := envoyadmin.New(address)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--envoy-admin: %w", err)}
		}
		out = append(out, client)
	}
	return out, nil
}

// whoami is what a caller without credentials says of itself.
func (e *environment) whoami() string {
	for _, variable := range []string{"USER", "LOGNAME"} {
		if name := e.Getenv(variable); name != "" {
			return name
		}
	}
	return ""
}
