package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/demo/play"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const demoHelp = `Plays a disaster on the ShopMax that 'holdfast up' runs: under the load of 16 MCP
clients the orders server in Mumbai is killed, then the one in Delhi too, and then
both come back. Each line is a real call; the figures at the end are measured in
this run. The servers are restored at the end, and however else the play ends.

With --tool no server dies: get_order begins to fail in Mumbai, as tools do, inside HTTP
200. Its calls move to Delhi alone, list_orders stays in Mumbai, and when get_order is
mended it comes back. On Ctrl-C the play waits until it has; a second Ctrl-C ends it at once.

Exit codes: 0 the play went as Holdfast promises (no safe call failed while a
server was left, and callers were told so when none was; with --tool: the broken tool
moved alone, and came back), 1 it did not.`

type demoFlags struct {
	state, url    string
	callers, rate int
	act           time.Duration
	tool          bool
}

func newDemo(env *environment) *cobra.Command {
	var flags demoFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "Kill the demo servers under load and see what callers get", Long: demoHelp,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return playDemo(cmd.Context(), env, flags) },
	}
	f := cmd.Flags()
	f.BoolVar(&flags.tool, "tool", false, "break one tool in one region instead of killing servers")
	f.StringVar(&flags.state, "state", env.stateDir(), "state folder of the running 'holdfast up'")
	f.StringVar(&flags.url, "url", "", "MCP endpoint to call (default: the one with the path /mcp)")
	f.IntVar(&flags.callers, "callers", 16, "callers at the same time, 1 to 256")
	f.IntVar(&flags.rate, "rate", 100, "calls a second, all callers together, 1 to 5000")
	f.DurationVar(&flags.act, "act", 2*time.Second, "how long each state lasts, 500ms to 1m")
	return cmd
}

func (f demoFlags) check() error {
	switch {
	case f.callers < 1 || f.callers > 256:
		return usagef(fmt.Sprintf("--callers %d is not between 1 and 256", f.callers))
	case f.rate < 1 || f.rate > 5000:
		return usagef(fmt.Sprintf("--rate %d is not between 1 and 5000", f.rate))
	case f.act < 500*time.Millisecond || f.act > time.Minute:
		return usagef(fmt.Sprintf("--act %s is not between 500ms and 1m", f.act))
	}
	return nil
}

func playDemo(ctx context.Context, env *environment, flags demoFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	info, err := stack.ReadRunInfo(flags.state)
	if err != nil {
		if errors.Is(err, stack.ErrNotRunning) {
			return fmt.Errorf("%w; run '%s up' in another terminal first", err, env.Invoked)
		}
		return fmt.Errorf("finding what runs: %w", err)
	}
	endpoint := flags.url
	if endpoint == "" {
		found, ok := demoEndpoint(info.Endpoints)
		if !ok {
			return errors.New("the configuration has no endpoint with the path /mcp: say which one to call with --url")
		}
		endpoint = found
	}
	var orders []string
	for _, place := range demo.Places() {
		if _, runs := info.Demo[place.Name]; runs && place.Server == demo.Orders {
			orders = append(orders, place.Name)
		}
	}
	if len(orders) != 2 {
		return errors.New("the play needs both demo servers of orders, and 'holdfast up' runs them only for a configuration that names their addresses")
	}
	// Whoever reads may have seen enough ('holdfast demo | head'): that ends the play, but not the process on the spot.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	ctx, unread := context.WithCancelCause(ctx)
	defer unread(nil)
	out := &watchedOutput{to: env.Stdout, unread: unread}
	remote := supervise.Remote{Socket: info.Control}
	if err := revive(ctx, remote, orders); err != nil {
		return err
	}
	for _, name := range orders {
		release, err := remote.Lend(ctx, name)
		if err != nil {
			return fmt.Errorf("borrowing %s: %w", name, err)
		}
		defer release()
	}
	if flags.tool {
		return playTool(ctx, env, flags, out, info, endpoint, orders)
	}
	summary, err := play.Run(ctx, play.Options{
		Endpoint: endpoint, Servers: remoteServers{remote},
		Primary: orders[0], Standby: orders[1], Callers: flags.callers, Rate: flags.rate, Act: flags.act,
		Out: out, Colors: env.colors(env.Stdout), Version: version(),
	})
	return played(ctx, env, err, summary.Broken, "the servers that were killed are running again")
}

// watchedOutput ends a play that nobody reads any more.
type watchedOutput struct {
	to     io.Writer
	unread context.CancelCauseFunc
}

var errUnread = errors.New("nobody reads what it says")

func (o *watchedOutput) Write(data []byte) (int, error) {
	n, err := o.to.Write(data)
	if err != nil {
		o.unread(errUnread)
	}
	return n, err //nolint:wrapcheck // as it came
}

// played is how a play ended; restored says what was put right when it was stopped.
func played(ctx context.Context, env *environment, err error, broken []string, restored string) error {
	switch {
	case err != nil && ctx.Err() != nil:
		say(env.Stderr, "Stopped; %s.\n", restored)
		return errSilent
	case err != nil:
		return fmt.Errorf("playing the demo: %w", err)
	case len(broken) > 0:
		return errSilent
	default:
		return nil
	}
}

// revive starts those of the named servers that are dead: an earlier play, or
// somebody by hand, may have left them so.
func revive(ctx context.Context, remote supervise.Remote, names []string) error {
	children, err := remote.Children(ctx)
	if err != nil {
		return fmt.Errorf("asking what runs: %w", err)
	}
	for _, child := range children {
		if !slices.Contains(names, child.Name) || (child.State != supervise.StateDead && child.State != supervise.StateStopped) {
			continue
		}
		if _, err := remote.Do(ctx, child.Name, supervise.ActionStart); err != nil {
			return fmt.Errorf("starting %s, which was dead: %w", child.Name, err)
		}
	}
	return nil
}

// remoteServers acts through the supervisor's control socket.
type remoteServers struct{ remote supervise.Remote }

// Kill implements play.Servers.
func (s remoteServers) Kill(ctx context.Context, name string) (time.Time, error) {
	done, err := s.remote.Do(ctx, name, supervise.ActionKill)
	return done.At, err //nolint:wrapcheck // the play says what it did
}

// Start implements play.Servers.
func (s remoteServers) Start(ctx context.Context, name string) (time.Time, error) {
	done, err := s.remote.Do(ctx, name, supervise.ActionStart)
	return done.At, err //nolint:wrapcheck // the play says what it did
}
