// Package drills plays failures against a whole Holdfast on a real Envoy, by signals to
// processes, by the faults of the demo servers and by a real fault proxy (Toxiproxy), and
// holds what callers get to bounds. Counts, order and ratios are always asserted; bounds in
// absolute time only with -absolute, as `make drills` does, which also sends ten times the
// load for longer. They are multiplied by what the machine's speed at the moment is worth,
// measured on a plain Envoy in the same run.
package drills

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

//nolint:gochecknoglobals // flags
var (
	absolute = flag.Bool("absolute", false, "send the whole load, and assert bounds in absolute time, as `make drills` does")
	write    = flag.Bool("write", false, "write what was measured to docs/RELIABILITY.md")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *write {
		if err := writePage(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// beside lets a drill run beside others, but where absolute times count. Drills in which something
// hangs, is slow or is lost in mid-call run one after the other: what they tell apart is less clear the busier a machine is.
func beside(t *testing.T) {
	t.Helper()
	if !*absolute {
		t.Parallel()
	}
}

const (
	primary, standby = "primary-mumbai", "standby-delhi"
	// perTry is the per-try timeout of get_order and list_orders where bounds in absolute time are asserted.
	perTry = 800 * time.Millisecond
	// slack is what failing over may take beyond what cannot be avoided.
	slack = 50 * time.Millisecond
	// patience bounds the wait for what should come within seconds.
	patience = testbed.Patience
)

// rate of calls a second.
func rate() int {
	if *absolute {
		return 1000
	}
	return 100
}

// mixed is one call in ten that must not run twice among safe ones of two tools.
func mixed(n int) (string, map[string]any) {
	switch {
	case n%10 == 9:
		return testbed.CreateOrder(n)
	case n%2 == 1:
		return "list_orders", map[string]any{"status": "none"}
	default:
		return testbed.GetOrder(n)
	}
}

func safe(c testbed.Call) bool   { return c.Tool != "create_order" }
func unsafe(c testbed.Call) bool { return c.Tool == "create_order" }

// ledger is what is to be written of a drill.
type ledger struct {
	t    *testing.T
	page section
}

// newLedger goes to the page when the test is over.
func newLedger(t *testing.T, name string) *ledger {
	t.Helper()
	l := &ledger{t: t, page: section{name: name, calibration: 1}}
	t.Cleanup(func() {
		l.page.failed = t.Failed()
		addToPage(l.page)
	})
	return l
}

// exercise is a Bed under load.
type exercise struct {
	*testbed.Bed
	*ledger
	load *testbed.Agents
	// began is when the load was steady, before what is played.
	began time.Time
}

// start runs a Bed for the drill of that name and measures what the machine is worth.
func start(t *testing.T, name string, opts testbed.Options) *exercise {
	t.Helper()
	if opts.Config == "" {
		opts.Config = testbed.DefaultConfig
	}
	if *absolute {
		opts.Config, opts.Measure = testbed.Prompt(opts.Config), "all"
	} else {
		opts.Config = testbed.Hasty(opts.Config)
	}
	return &exercise{Bed: testbed.Start(t, opts), ledger: newLedger(t, name)}
}

// calibrate measures what the machine is worth at the moment; it is 1 where nothing in absolute time is asserted.
func (d *exercise) calibrate() {
	d.t.Helper()
	if *absolute {
		d.page.calibration = d.Calibration(primary, rate(), testbed.GetOrder)
	}
}

// begin calibrates, puts the load on and returns when it is steady: the primary has answered for a while.
func (d *exercise) begin(tool testbed.Tool) {
	d.t.Helper()
	d.calibrate()
	d.load = d.StartAgents("/mcp", rate(), tool)
	d.Until(patience, "the primary answers under load", func() bool { return count(d.load.Calls(), via(primary)) >= 2*rate() })
	d.began = time.Now()
	d.last(5*time.Second, 1)
}

// last lets the load go on for a time, which is cut short to the given number of seconds
// where nothing in absolute time is asserted, and until as many calls are answered as are due in it.
func (d *exercise) last(long time.Duration, short int) {
	d.t.Helper()
	if !*absolute {
		long = time.Duration(short) * time.Second
	}
	from, due := time.Now(), int(long.Seconds()*float64(rate()))
	d.Until(patience+long, fmt.Sprintf("%d calls are answered", due), func() bool {
		return time.Since(from) >= long && len(d.load.Since(from)) >= due*9/10
	})
}

// served returns when n good answers came from an endpoint for calls that were due after a moment.
func (d *exercise) served(name string, after time.Time, n int) {
	d.t.Helper()
	d.Until(patience, name+" answers", func() bool { return count(d.load.Since(after), via(name)) >= n })
}

func via(name string) func(testbed.Call) bool {
	return func(c testbed.Call) bool { return c.Good() && c.Via == name }
}

func count(calls []testbed.Call, wanted ...func(testbed.Call) bool) (n int) {
	for _, c := range calls {
		if !slices.ContainsFunc(wanted, func(want func(testbed.Call) bool) bool { return !want(c) }) {
			n++
		}
	}
	return n
}

// p99 of the good safe calls that were due between two moments.
func p99(calls []testbed.Call, from, to time.Time) time.Duration {
	return percentile(calls, from, to, 99)
}

func percentile(calls []testbed.Call, from, to time.Time, percent int) time.Duration {
	var took []time.Duration
	for _, c := range calls {
		if c.Good() && safe(c) && c.Start.After(from) && c.Start.Before(to) {
			took = append(took, c.Took)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, len(took)*percent/100)]
}

// slowest is the longest time of a safe call that was due between two moments.
func slowest(calls []testbed.Call, from, to time.Time) time.Duration {
	most := time.Duration(0)
	for _, c := range calls {
		if safe(c) && c.Start.After(from) && c.Start.Before(to) {
			most = max(most, c.Took)
		}
	}
	return most
}

// firstGood is the time from a moment to the first good answer to a safe call that was due after it; negative: there was none.
func firstGood(calls []testbed.Call, at time.Time) time.Duration {
	first := time.Duration(-1)
	for _, c := range calls {
		if !c.Good() || !safe(c) || !c.Start.After(at) {
			continue
		}
		if d := c.Start.Add(c.Took).Sub(at); first < 0 || d < first {
			first = d
		}
	}
	return first
}

// safeHold asserts that no safe call failed.
func (d *exercise) safeHold(calls []testbed.Call) {
	d.t.Helper()
	failed := 0
	for _, c := range calls {
		if safe(c) && !c.Good() {
			if failed++; failed <= 5 {
				d.t.Errorf("failed: %v", c)
			}
		}
	}
	d.atMost("safe calls failed", failed, 0, fmt.Sprintf("of %d", count(calls, safe)))
}

// unsafeHold asserts by the servers' journals that no call ran twice, and that each says of itself what it may.
func (d *exercise) unsafeHold(calls []testbed.Call) {
	d.t.Helper()
	runs := d.RunsByCall()
	twice, lost, untold, unsure, own := 0, 0, 0, 0, 0
	for _, c := range calls {
		if !unsafe(c) {
			continue
		}
		n := runs[c.ID]
		if n > 1 {
			twice++
			d.t.Errorf("ran %d times: %v", n, c)
		}
		switch {
		case c.Good():
			if n == 0 {
				lost++
			}
		case c.Outcome == "not_executed" && n == 0, refused(c) && n == 0:
		case c.Outcome == "unknown":
			unsure++
		case c.Via != "" && !c.Degraded:
			// The server's own answer came back, and it says that it failed.
			own++
		default:
			if untold++; untold <= 5 {
				d.t.Errorf("ran %d times and does not say so: %v", n, c)
			}
		}
	}
	all := fmt.Sprintf("of %d", count(calls, unsafe))
	d.atMost("unsafe calls executed twice", twice, 0, all)
	d.atMost("unsafe calls answered and never executed", lost, 0, all)
	d.atMost("unsafe calls that failed without saying what became of them", untold, 0, fmt.Sprintf("%s; %d said that it is unknown, %d in the server's own words", all, unsure, own))
}

// refused: no processor was there in time to decide about the call, and Envoy sent it nowhere.
func refused(c testbed.Call) bool {
	return c.Err != nil && strings.Contains(c.Err.Error(), "the gateway cannot check this request")
}

// atMost asserts a count.
func (l *ledger) atMost(what string, got, most int, more string) {
	l.t.Helper()
	l.row(what, fmt.Sprintf("≤ %d", most), strings.TrimSpace(fmt.Sprintf("%d %s", got, more)), got <= most)
}

// holds asserts anything else that needs no clock.
func (l *ledger) holds(what, bound, got string, held bool) {
	l.t.Helper()
	l.row(what, bound, got, held)
}

// within asserts that got is at most fixed and a slack, which the calibration stretches; only where absolute times count.
// A negative time is one that never came.
func (l *ledger) within(what string, got, fixed, slack time.Duration) {
	l.t.Helper()
	bound := fixed + time.Duration(float64(slack)*l.page.calibration)
	if got < 0 {
		l.row(what, "≤ "+show(bound), "never", false)
		return
	}
	if !*absolute {
		l.t.Logf("%s: %s (bound %s, not asserted)", what, show(got), show(bound))
		return
	}
	l.row(what, "≤ "+show(bound), show(got), got <= bound)
}

func (l *ledger) row(what, bound, got string, held bool) {
	l.t.Helper()
	l.page.rows = append(l.page.rows, row{what, bound, got, held})
	if !held {
		l.t.Errorf("%s: %s, want %s (calibration %.2f)", what, got, bound, l.page.calibration)
		return
	}
	l.t.Logf("%s: %s (%s)", what, got, bound)
}

func show(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func number(n int) string { return strconv.Itoa(n) }

func of(n, all int) string { return fmt.Sprintf("%d of %d", n, all) }
