package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/pflag"

	"github.com/holdfast-mcp/holdfast/pkg/agents"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/drill"
	"github.com/holdfast-mcp/holdfast/pkg/drill/inject"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// drillFaultFlags say how something is broken that 'holdfast up' does not run.
type drillFaultFlags struct {
	written inject.Written
	file    string
}

func (d *drillFaultFlags) add(f *pflag.FlagSet) {
	f.StringVar(&d.written.Break, "break", "", "`command` that breaks it, run by sh")
	f.StringVar(&d.written.Mend, "mend", "", "`command` that mends it; it is also run where nothing is broken")
	f.StringVar(&d.written.Noticed, "noticed", "", "`command` that prints who has noticed and exits with 0, or with 1 as long as nobody has")
	f.StringVar(&d.written.Toxiproxy, "toxiproxy", "", "`address` of the API of a Toxiproxy, http://host:port")
	f.StringSliceVar(&d.written.Proxies, "proxy", nil, "`name` of a proxy there to break; may be repeated")
	f.StringVar(&d.file, "faults", "", "`file` with commands or proxies by the names of drills, YAML")
}

// drillTarget is what drills are played on.
type drillTarget struct {
	flags *drillFlags
	// up is what `holdfast up` runs; nil: nothing that is meant.
	up      *inject.Stack
	written map[string]inject.Written
	client  agents.Client
	calls   []drill.Call
}

func newDrillTarget(env *environment, flags *drillFlags) (*drillTarget, error) {
	t := &drillTarget{flags: flags, client: agents.Client{Endpoint: flags.url, Name: "holdfast-drill", Version: version()}}
	if flags.faults.file != "" {
		text, err := os.ReadFile(flags.faults.file)
		if err != nil {
			return nil, fmt.Errorf("--faults: %w", err)
		}
		if t.written, err = inject.ParseFile(text); err != nil {
			return nil, fmt.Errorf("--faults %s: %w", flags.faults.file, err)
		}
	}
	headers, err := parseHeaders(flags.headers)
	if err != nil {
		return nil, err
	}
	t.client.Header = http.Header(headers)
	for i, texts := range [][]string{flags.calls, flags.unsafe} {
		for _, text := range texts {
			call, err := drill.ParseCall(text, i == 1)
			if err != nil {
				return nil, &usageError{err}
			}
			t.calls = append(t.calls, call)
		}
	}
	if flags.url != "" {
		if u, err := url.Parse(flags.url); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, usagef(fmt.Sprintf("--url %q is not the URL of an MCP endpoint, such as https://mcp.staging.example/mcp", flags.url))
		}
		if len(t.calls) == 0 {
			return nil, usagef("--call is missing: say which tool to call at " + flags.url)
		}
		return t, nil
	}
	return t, t.findUp(env)
}

// findUp takes what `holdfast up` runs.
func (t *drillTarget) findUp(env *environment) error {
	info, err := stack.ReadRunInfo(t.flags.state)
	if errors.Is(err, stack.ErrNotRunning) {
		return fmt.Errorf("%w; run '%s up' in another terminal first, or say what to call with --url", err, env.Invoked)
	}
	if err != nil {
		return fmt.Errorf("finding what runs: %w", err)
	}
	endpoint, ok := demoEndpoint(info.Endpoints)
	if !ok {
		return errors.New("the configuration has no endpoint with the path /mcp: say which one to call with --url")
	}
	t.client.Endpoint = endpoint
	if t.up, err = inject.NewStack(info, t.flags.hold); err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if len(t.calls) == 0 {
		t.calls = []drill.Call{
			{Tool: "get_order", Arguments: map[string]any{"order_id": "ORD-7701"}},
			{Tool: "list_orders", Arguments: map[string]any{"status": "SHIPPED"}},
			{Tool: "create_order", Arguments: map[string]any{"customer_id": "C-1201", "total_rs": 100}, Unsafe: true},
		}
	}
	return nil
}

func (t *drillTarget) close() {
	if t.up != nil {
		t.up.Close()
	}
}

// fault is that of a drill; the error says why it cannot be played.
func (t *drillTarget) fault(name string) (drill.Fault, error) {
	if w := t.flags.faults.written; !w.None() {
		return w.Fault(name) //nolint:wrapcheck // in words already
	}
	if w, ok := t.written[name]; ok {
		return w.Fault(name) //nolint:wrapcheck // in words already
	}
	if t.up == nil {
		return drill.Fault{}, errors.New("nothing says how to break it: give --break and --mend, --toxiproxy and --proxy, or --faults")
	}
	return t.up.Fault(name) //nolint:wrapcheck // in words already
}

func (t *drillTarget) options(name string) (drill.Options, error) {
	kind, _ := drill.Find(name)
	fault, err := t.fault(name)
	if err != nil {
		return drill.Options{}, fmt.Errorf("the drill %s cannot be played here: %w", name, err)
	}
	o := drill.Options{
		Kind: kind, Fault: fault, Client: t.client, Calls: t.calls, Callers: t.flags.callers, Rate: t.flags.rate,
		Before: t.flags.before, Hold: t.flags.hold, Patience: t.flags.patience, AbortAt: float64(t.flags.abortAt) / 100, CallIDKey: t.flags.callIDKey, Version: version(), //nolint:mnd // percent
	}
	switch {
	case len(t.flags.journals) > 0:
		o.Runs = func() (map[string]int, error) { return demo.CountByCall(t.flags.journals...) }
	case t.up != nil:
		o.CallIDKey, o.Runs = demo.CallIDKey, t.up.Runs
	}
	return o, nil
}

// list says which drills there are, and which can be played here.
func (t *drillTarget) list(env *environment) {
	rows := newTable("DRILL", "WHAT IS BROKEN", "HERE")
	for _, kind := range drill.Kinds() {
		here := "yes"
		if _, err := t.fault(kind.Name); err != nil {
			here = "no: " + err.Error()
		}
		rows.row(kind.Name, kind.Says, here)
	}
	rows.write(env.Stdout)
	say(env.Stdout, "\nPlay one on %s with '%s drill NAME'.\n", t.client.Endpoint, env.Invoked)
}
