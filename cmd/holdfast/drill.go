package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
)

const drillHelp = `Plays a game day: under a steady load of tool calls it breaks one thing of a running
system, mends it again, and reports what callers saw: when the failure was noticed and by
whom, when the first call was answered well again, which calls failed, which ran twice,
and when all was as before. Without DRILL it lists the drills, and which of them can be
played here.

On what 'holdfast up' runs everything is at hand. On any other system, such as staging, say
what to call (--url, --call) and how it is broken: by commands of your own (--break, --mend),
by a Toxiproxy that stands before what is to be broken (--toxiproxy, --proxy), or both by
the names of drills in a file (--faults):

  region-loss: {break: "kubectl -n mcp scale deploy/orders --replicas=0", mend: "kubectl -n mcp scale deploy/orders --replicas=3"}
  hang: {toxiproxy: "http://10.0.0.5:8474", proxies: [orders-mumbai]}

Nothing is broken before you say so (--yes says so for a schedule), or where the system
is not well to begin with. When more calls fail than --abort-at allows it is mended at once, as it is on
Ctrl-C. Each report is kept, and shown beside the one of the last run; deploy/drills has
units for a drill every month.

Exit codes: 0 the drills went as Holdfast promises (no call failed that may run twice, none
ran twice that must not, and all was as before again), 1 they did not, or were not played, 2 the command was not understood.`

// Defaults of a drill, which are those of the package in words.
const (
	drillHold   = 10 * time.Second
	drillBefore = 3 * time.Second
	drillAbort  = 10
	drillWait   = 30 * time.Second
)

type drillFlags struct {
	state, reports, url, output      string
	headers, calls, unsafe, journals []string
	callIDKey                        string
	callers, rate, abortAt           int
	hold, before, patience           time.Duration
	yes                              bool
	faults                           drillFaultFlags
}

func newDrill(env *environment) *cobra.Command {
	var flags drillFlags
	cmd := &cobra.Command{
		Use: "drill [DRILL...]", Short: "Break something on purpose and report what callers see", Long: drillHelp,
		Args: usageArgs(knownDrills),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return drills(cmd.Context(), env, &flags, args)
		},
		ValidArgs: strings.Split(drill.Names(), ", "),
	}
	f := cmd.Flags()
	f.BoolVarP(&flags.yes, "yes", "y", false, "break it without asking")
	f.StringVarP(&flags.output, "output", "o", "text", "`format` of the report: text or json")
	f.StringVar(&flags.url, "url", "", "MCP endpoint to call (default: that of the running 'holdfast up')")
	f.StringArrayVar(&flags.headers, "header", nil, "'Name: value' to send with each request; may be repeated")
	f.StringArrayVar(&flags.calls, "call", nil, "a tool that may run twice and its arguments, as 'get_order {\"order_id\":\"ORD-7701\"}'; may be repeated")
	f.StringArrayVar(&flags.unsafe, "unsafe-call", nil, "a tool that must not run twice, for one call in ten; may be repeated")
	f.IntVar(&flags.callers, "callers", 16, "callers at the same time, 1 to 256")
	f.IntVar(&flags.rate, "rate", 100, "calls a second, all callers together, 1 to 5000")
	f.DurationVar(&flags.before, "before", drillBefore, "how long all is well at first, 1s to 10m")
	f.DurationVar(&flags.hold, "hold", drillHold, "how long it is broken, 1s to 1h")
	f.DurationVar(&flags.patience, "patience", drillWait, "how long to wait for all to be well, before and after, 1s to 1h")
	f.IntVar(&flags.abortAt, "abort-at", drillAbort, "`percent` of the calls of two seconds; when more fail, it is mended at once")
	flags.faults.add(f)
	f.StringSliceVar(&flags.journals, "journal", nil, "`file` in which servers note executions, as the demo's do; may be repeated")
	f.StringVar(&flags.callIDKey, "call-id-key", "", "key of _meta that carries the id which servers note there")
	f.StringVar(&flags.state, "state", env.stateDir(), "state folder of the running 'holdfast up'")
	f.StringVar(&flags.reports, "reports", "", "`folder` in which reports are kept (default: drills in the state folder)")
	cmd.AddCommand(newDrillReports(env))
	return cmd
}

func knownDrills(_ *cobra.Command, args []string) error {
	for _, name := range args {
		if _, ok := drill.Find(name); !ok {
			return fmt.Errorf("there is no drill %q; there are %s", name, drill.Names())
		}
	}
	return nil
}

func (f *drillFlags) check() error {
	between := func(name string, d, least, most time.Duration) error {
		if d < least || d > most {
			return usagef(fmt.Sprintf("--%s %s is not between %s and %s", name, d, least, most))
		}
		return nil
	}
	var errs []error
	if f.output != "text" && f.output != "json" {
		errs = append(errs, usagef(fmt.Sprintf("--output %q is neither text nor json", f.output)))
	}
	for _, n := range []struct {
		name        string
		value, most int
	}{{"callers", f.callers, 256}, {"rate", f.rate, 5000}, {"abort-at", f.abortAt, 100}} {
		if n.value < 1 || n.value > n.most {
			errs = append(errs, usagef(fmt.Sprintf("--%s %d is not between 1 and %d", n.name, n.value, n.most)))
		}
	}
	errs = append(errs, between("before", f.before, time.Second, 10*time.Minute), between("hold", f.hold, time.Second, time.Hour),
		between("patience", f.patience, time.Second, time.Hour))
	if len(f.journals) > 0 && f.callIDKey == "" {
		errs = append(errs, usagef("--call-id-key is missing: without it the servers cannot tell the calls of --journal apart"))
	}
	if f.reports == "" && f.state != "" {
		f.reports = filepath.Join(f.state, "drills")
	}
	if f.reports == "" {
		errs = append(errs, usagef("there is no default folder for reports, since HOME is not set: say where with --reports"))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func drills(ctx context.Context, env *environment, flags *drillFlags, names []string) error {
	target, err := newDrillTarget(env, flags)
	if err != nil {
		return err
	}
	defer target.close()
	if len(names) == 0 {
		target.list(env)
		return nil
	}
	options := make([]drill.Options, len(names))
	for i, name := range names {
		if options[i], err = target.options(name); err != nil {
			return err
		}
	}
	if !flags.yes {
		if err := confirm(env, options, flags); err != nil {
			return err
		}
	}
	broken := false
	for _, o := range options {
		r, err := playDrill(ctx, env, flags, o)
		if err != nil {
			return err
		}
		broken = broken || len(r.Broken) > 0
	}
	if broken {
		return errSilent
	}
	return nil
}

// confirm asks the person at the terminal; where there is none, nothing is broken.
func confirm(env *environment, options []drill.Options, flags *drillFlags) error {
	if file, ok := env.Stdin.(*os.File); ok && !isTerminal(file) {
		return usagef("nobody is there to be asked whether something may be broken: say so with --yes")
	}
	say(env.Stderr, "%d callers will call %s %d times a second. Meanwhile, for %s:\n", flags.callers, options[0].Client.Endpoint, flags.rate, flags.hold)
	for _, o := range options {
		say(env.Stderr, "  %s: %s\n", o.Kind.Name, o.Kind.Says)
	}
	say(env.Stderr, "Then it is mended; at once when more than %d %% of the calls fail, or on Ctrl-C. Go on? [y/N] ", flags.abortAt)
	answer, err := bufio.NewReader(env.Stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was broken")
}

// comparedReport is a report beside that of the last run.
type comparedReport struct {
	*drill.Report
	Last *drill.Report `json:"last,omitzero"`
}

func playDrill(ctx context.Context, env *environment, flags *drillFlags, o drill.Options) (*drill.Report, error) {
	progress := env.Stdout
	if flags.output == "json" {
		progress = env.Stderr
	}
	began := time.Now()
	o.Say = func(text string) { say(progress, "%5.1f s  %s\n", time.Since(began).Seconds(), text) }
	kept, err := drill.Kept(flags.reports)
	if err != nil {
		say(env.Stderr, "%v\n", err)
	}
	r, err := drill.Run(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("the drill %s: %w", o.Kind.Name, err)
	}
	last := drill.Last(kept, r.Drill, r.Endpoint)
	if flags.output == "json" {
		text, err := json.Marshal(comparedReport{r, last}, jsontext.WithIndent("  "), json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("encoding the report: %w", err)
		}
		say(env.Stdout, "%s\n", text)
	} else {
		say(env.Stdout, "\n%s", r.Text(last, time.Now()))
	}
	path, err := drill.Keep(flags.reports, r)
	if err != nil {
		return nil, err
	}
	say(progress, "The report is kept in %s\n", path)
	return r, nil
}

const drillReportsHelp = `Lists the reports of drills that are kept, the newest first.

Exit codes: 0 listed, 1 they cannot be read, 2 the command was not understood.`

func newDrillReports(env *environment) *cobra.Command {
	var state, reports string
	cmd := &cobra.Command{
		Use: "reports", Short: "List the reports of drills", Long: drillReportsHelp, Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			if reports == "" {
				reports = filepath.Join(state, "drills")
			}
			kept, err := drill.Kept(reports)
			if len(kept) == 0 && err == nil {
				say(env.Stdout, "No report is in %s.\n", reports)
			}
			rows := newTable("TIME", "DRILL", "ENDPOINT", "RESULT")
			for _, r := range kept {
				verdict := "as promised"
				if len(r.Broken) > 0 {
					verdict = "not as promised: " + r.Broken[0]
				}
				rows.row(r.Started.Format("2006-01-02 15:04"), r.Drill, r.Endpoint, verdict)
			}
			if len(kept) > 0 {
				rows.write(env.Stdout)
			}
			return err //nolint:wrapcheck // it says which file
		},
	}
	cmd.Flags().StringVar(&state, "state", env.stateDir(), "state folder of the running 'holdfast up'")
	cmd.Flags().StringVar(&reports, "reports", "", "`folder` of the reports (default: drills in the state folder)")
	return cmd
}
