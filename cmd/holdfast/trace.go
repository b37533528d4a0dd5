package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

const traceHelp = `Shows a trace as a tree with bars: the call, each of its tries with region, endpoint and
verdict, the servers' own spans, and when each of them was. What failed is marked.

ID is a trace id, or a whole traceparent as a client sends it; without one, and with
--last, it is the newest trace of a call. Spans arrive a second or two after they
end; a trace that is still arriving is waited for.

Traces are asked of Jaeger: of --jaeger, else of HOLDFAST_JAEGER, else of the one of the
running 'holdfast up', else at http://` + stack.DefaultJaegerQuery + `.

Exit codes: 0 shown, 1 there is no such trace or no Jaeger, 2 the command was not
understood.`

const (
	// processorService sends the spans of calls and tries.
	processorService = "holdfast-extproc"
	// recentTraces are looked through for the newest.
	recentTraces = 20
	// arrivingFor is how long after its end a span is awaited whose parent has not come, and arrivingPause
	// the time between two questions.
	arrivingFor = 4 * time.Second
	// settle is how long spans of a call that was made just now may be under way: without it the newest
	// trace would be the one before.
	settle        = 1200 * time.Millisecond
	arrivingPause = 300 * time.Millisecond
)

type traceFlags struct {
	last, failed bool
	all          bool
	tool         string
	jaeger       string
	state        string
	format       format
}

func newTrace(env *environment) *cobra.Command {
	var flags traceFlags
	cmd := &cobra.Command{
		Use: "trace [ID]", Short: "Show the way of a call, try by try", Long: traceHelp,
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			return showTrace(cmd.Context(), env, &flags, id)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.last, "last", false, "the newest trace of a call (the default)")
	f.BoolVar(&flags.failed, "failed", false, "the newest trace in which a call or one of its tries failed")
	f.BoolVarP(&flags.all, "all", "a", false, "Envoy's streams to the processors too")
	f.StringVar(&flags.tool, "tool", "", "the newest trace of a call of this `tool`")
	f.StringVar(&flags.jaeger, "jaeger", "", "`URL` of Jaeger, such as http://"+stack.DefaultJaegerQuery)
	f.StringVar(&flags.state, "state", env.stateDir(), "state `folder` of the running 'holdfast up'")
	flags.format.add(cmd, "")
	return cmd
}

func showTrace(ctx context.Context, env *environment, flags *traceFlags, id string) error {
	if id != "" && (flags.last || flags.failed || flags.tool != "") {
		return usagef("it is either a trace's id or --last, --failed and --tool")
	}
	if id != "" {
		known, err := traceID(id)
		if err != nil {
			return err
		}
		id = known
	}
	place, err := env.findTraces(flags)
	if err != nil {
		return err
	}
	client := &jaeger.Client{URL: place.url}
	defer http.DefaultClient.CloseIdleConnections()
	if id == "" && !rested(ctx, settle) {
		return fmt.Errorf("looking for the newest trace: %w", ctx.Err())
	}
	found, err := wholeTrace(ctx, func(ctx context.Context) (*jaeger.Trace, error) { return askTrace(ctx, client, flags, id) })
	if err != nil {
		return traceError(err, place, id, flags)
	}
	if flags.format != formatTable {
		return writeTrace(env.Stdout, flags.format, found)
	}
	width := plainWidth
	if isTerminal(env.Stdout) {
		width, _ = terminalSize(env.Stdout)
	}
	say(env.Stdout, "%s", drawTrace(found, width, flags.all, env.painter(env.Stdout)))
	return nil
}

func askTrace(ctx context.Context, client *jaeger.Client, flags *traceFlags, id string) (*jaeger.Trace, error) {
	if id != "" {
		return client.Trace(ctx, id) //nolint:wrapcheck // in words already
	}
	tags := map[string]string{"mcp.method.name": "tools/call"}
	if flags.tool != "" {
		tags["gen_ai.tool.name"] = flags.tool
	}
	if flags.failed {
		tags["error"] = "true"
	}
	return client.Latest(ctx, processorService, tags, recentTraces) //nolint:wrapcheck // in words already
}

// wholeTrace asks again while spans of the trace seem to be on their way: those that have come
// name a parent that has not, and are young. A caller's own span may never come.
func wholeTrace(ctx context.Context, ask func(context.Context) (*jaeger.Trace, error)) (*jaeger.Trace, error) {
	// Whatever the clocks of those who send spans say.
	until := time.Now().Add(arrivingFor)
	found, err := ask(ctx)
	for err == nil && arriving(found, time.Now()) && time.Now().Before(until) {
		if !rested(ctx, arrivingPause) {
			return found, nil // what there is is shown
		}
		found, err = ask(ctx)
	}
	return found, err
}

// rested is false where ctx ends first.
func rested(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func arriving(t *jaeger.Trace, now time.Time) bool {
	known := make(map[string]bool, len(t.Spans))
	for i := range t.Spans {
		known[t.Spans[i].ID] = true
	}
	for i := range t.Spans {
		s := &t.Spans[i]
		if s.Parent != "" && !known[s.Parent] && s.Service != envoyService && now.Sub(s.Start.Add(s.Duration)) < arrivingFor {
			return true
		}
	}
	return false
}

// envoyService sends Envoy's own spans; the parent of its first one is the caller's.
const envoyService = "holdfast-envoy"

// traceID is that of an id, or of a traceparent (W3C Trace Context).
func traceID(text string) (string, error) {
	id := strings.ToLower(strings.TrimSpace(text))
	if parts := strings.Split(id, "-"); len(parts) == 4 {
		id = parts[1]
	}
	if !regexp.MustCompile(`^[0-9a-f]{1,32}$`).MatchString(id) || strings.Trim(id, "0") == "" {
		return "", usagef(fmt.Sprintf("%q is not a trace id: up to 32 hexadecimal digits, not all zero", text))
	}
	return id, nil
}

// tracesAt is where traces are asked for, and who said so.
type tracesAt struct {
	url, by string
	// own is the running stack whose Jaeger it is; nil where it is another one.
	own *stack.RunInfo
}

func (e *environment) findTraces(flags *traceFlags) (tracesAt, error) {
	for _, said := range []struct{ by, url string }{{"--jaeger", flags.jaeger}, {jaegerVariable, e.Getenv(jaegerVariable)}} {
		if said.url == "" || said.by == jaegerVariable && said.url == jaegerOff {
			continue
		}
		u, err := jaegerURL(said.by, said.url)
		if err != nil {
			return tracesAt{}, err
		}
		return tracesAt{url: strings.TrimSuffix(u.String(), "/"), by: said.by}, nil
	}
	info, err := stack.ReadRunInfo(flags.state)
	switch {
	case err != nil:
		return tracesAt{url: "http://" + stack.DefaultJaegerQuery, by: "the default"}, nil //nolint:nilerr // nothing of ours runs
	case info.Tracing == nil:
		return tracesAt{}, fmt.Errorf("the running 'holdfast up' keeps no traces, since %s is off where it was started; --jaeger names another Jaeger", jaegerVariable)
	case info.Tracing.Own:
		return tracesAt{url: info.Tracing.Query, by: "the running 'holdfast up'", own: info}, nil
	}
	return tracesAt{url: info.Tracing.Query, by: "the running 'holdfast up'"}, nil
}

// traceError says what can be done about it.
func traceError(err error, place tracesAt, id string, flags *traceFlags) error {
	at := fmt.Sprintf("%s (%s)", place.url, place.by)
	switch {
	case errors.Is(err, jaeger.ErrNotFound) && id != "":
		return fmt.Errorf("the Jaeger at %s has no trace %s; spans arrive a second or two after a call, and a call is only traced where it is sampled or does not go well", at, id)
	case errors.Is(err, jaeger.ErrNotFound):
		what := "call"
		if flags.tool != "" {
			what += " of " + flags.tool
		}
		if flags.failed {
			what += " of which a try failed"
		}
		return fmt.Errorf("the Jaeger at %s has no trace of a %s yet; spans arrive a second or two after it", at, what)
	case errors.Is(err, syscall.ECONNREFUSED) && place.own != nil:
		return fmt.Errorf("no Jaeger answers at %s: it is still being built or started, or that has failed, which the terminal of 'holdfast up' says; its log is %s: %w",
			at, filepath.Join(flags.state, "logs", "jaeger.log"), err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no Jaeger answers at %s: 'holdfast up' starts one, and --jaeger or %s names another: %w", at, jaegerVariable, err)
	}
	return fmt.Errorf("asking the Jaeger at %s: %w", at, err)
}
