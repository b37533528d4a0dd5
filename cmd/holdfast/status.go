package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const statusHelp = `Shows what the control plane has handed out and who took it: the configuration in
force and how far its rollout is, the last one that was refused, and for each
Envoy and external processor whether it has acknowledged it, in its own words
where it has not.

Exit codes: 0 everybody has what they should, 1 the control plane cannot be asked,
or something was refused or rejected, 2 the command was not understood.`

type statusFlags struct {
	state, admin, output string
	watch                bool
}

func newStatus(env *environment) *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use: "status", Short: "Show what the control plane has handed out, and who took it", Long: statusHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return showStatus(cmd.Context(), env, flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.state, "state", env.stateDir(), "state folder of the running 'holdfast up', which says where to ask")
	f.StringVar(&flags.admin, "admin", "", "admin address of the control plane, host:port (default: that of 'holdfast up', else "+stack.DefaultXDSAdmin+")")
	f.StringVarP(&flags.output, "output", "o", "text", "text, or json as the control plane gives it")
	f.BoolVarP(&flags.watch, "watch", "w", false, "show it again every second until Ctrl-C")
	return cmd
}

func showStatus(ctx context.Context, env *environment, flags statusFlags) error {
	if flags.output != "text" && flags.output != "json" {
		return usagef(fmt.Sprintf("--output %q is neither text nor json", flags.output))
	}
	admin := flags.admin
	if admin == "" {
		admin = stack.DefaultXDSAdmin
		if info, err := stack.ReadRunInfo(flags.state); err == nil {
			admin = info.XDSAdmin
		}
	}
	if !flags.watch {
		return statusOnce(ctx, env, admin, flags.output)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if isTerminal(env.Stdout) {
			say(env.Stdout, "\x1b[H\x1b[2J")
		}
		if err := statusOnce(ctx, env, admin, flags.output); err != nil && !errors.Is(err, errSilent) && ctx.Err() == nil {
			say(env.Stdout, "%v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if !isTerminal(env.Stdout) {
				say(env.Stdout, "\n")
			}
		}
	}
}

func statusOnce(ctx context.Context, env *environment, admin, output string) error {
	body, err := fetchStatus(ctx, admin)
	if err != nil {
		return fmt.Errorf("asking the control plane at %s: %w; is 'holdfast up' running? --admin says where to ask", admin, err)
	}
	var s status.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return fmt.Errorf("reading the status: %w", err)
	}
	if output == "json" {
		say(env.Stdout, "%s\n", body)
	} else {
		writeStatus(env.Stdout, &s, time.Now())
	}
	if !healthy(&s) {
		return errSilent
	}
	return nil
}

// healthy: there is a configuration, and nobody refuses anything.
func healthy(s *status.Status) bool {
	if !s.Ready || s.Rejected != nil || (s.Refused != nil && s.Refused.Standing) {
		return false
	}
	for _, node := range s.Nodes {
		if node.Sync == status.Rejecting || node.Sync == status.Silent {
			return false
		}
	}
	return true
}

const (
	statusTimeout = 5 * time.Second
	maxStatus     = 16 << 20
)

func fetchStatus(ctx context.Context, admin string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/v1/status", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was asked
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers with status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxStatus {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxStatus)
	}
	return body, nil
}
