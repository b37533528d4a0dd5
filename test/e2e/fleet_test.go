package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// told is how long is waited until the others know. What is promised is two seconds; the
// rest is for a machine that does other things as well.
const told = time.Minute

// fleet is a Bed whose breakers are looked at.
type fleet struct {
	*testbed.Bed
	t     *testing.T
	admin *apiclient.Client
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	b := testbed.Start(t, testbed.Options{})
	client, err := apiclient.New(apiclient.Options{Server: "http://" + b.XDSAdmin})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &fleet{Bed: b, t: t, admin: client}
}

// call asks for an order, and gives the region that answered.
func (f *fleet) call(tool string) string {
	f.t.Helper()
	answer, err := f.Post("/mcp", testbed.ModernHeaders("tools/call", tool), testbed.CallTool("1", tool, `{"order_id":"ORD-7701"}`))
	if err != nil {
		f.t.Fatalf("calling %s: %v", tool, err)
	}
	if tool == "list_orders" {
		return answer.Header.Get("x-holdfast-region")
	}
	if answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), "ORD-7701") {
		f.t.Fatalf("calling %s: %d %s", tool, answer.Status, answer.Body)
	}
	return answer.Header.Get("x-holdfast-region")
}

// state is that of Mumbai's breaker of a tool at one processor, by its metrics; -1 where it
// has never opened.
func (f *fleet) state(processor, tool string) int {
	f.t.Helper()
	metrics, err := f.Metrics(f.Addr(processor))
	if err != nil {
		f.t.Fatal(err)
	}
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf(`holdfast_breaker_state{region=%q,server="orders",tool=%q} `, testbed.Mumbai, tool)); ok {
			var n int
			if _, err := fmt.Sscan(rest, &n); err != nil {
				f.t.Fatal(err)
			}
			return n
		}
	}
	return -1
}

const (
	breakerClosed = 0
	breakerOpen   = 2
)

func (f *fleet) until(limit time.Duration, processor, tool string, state int, meanwhile func()) time.Time {
	f.t.Helper()
	f.Eventually(limit, fmt.Sprintf("breaker of %s in state %d at %s", tool, state, processor), func() error {
		if meanwhile != nil {
			meanwhile()
		}
		if got := f.state(processor, tool); got != state {
			return fmt.Errorf("it is %d", got)
		}
		return nil
	})
	return time.Now()
}

// region waits until every one of many calls, by both processors, is answered by one region.
func (f *fleet) region(tool, want string) {
	f.t.Helper()
	began := time.Now()
	f.Eventually(told, "every call of "+tool+" in "+want, func() error {
		for range 12 {
			if got := f.call(tool); got != want {
				return fmt.Errorf("a call was answered by %q", got)
			}
		}
		return nil
	})
	f.t.Logf("every call of %s is answered by %s %v later", tool, want, time.Since(began).Round(10*time.Millisecond))
}

func (f *fleet) hold(tool, region string, hold adminv1.BreakerHold) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	request := &adminv1.SetBreakerRequest{Server: "orders", Tool: tool, Region: region, Hold: hold, Reason: "bad release", Author: "asha"}
	if hold != adminv1.BreakerHold_BREAKER_HOLD_AUTO {
		request.Until = timestamppb.New(time.Now().Add(time.Hour))
	}
	if _, err := f.admin.SetBreaker(ctx, request); err != nil {
		f.t.Fatal(err)
	}
}

// only has Envoy ask one processor and not the other, which stays connected to the fleet.
func (f *fleet) only(processor string) {
	f.t.Helper()
	before := f.Revision()
	f.WriteConfig(strings.Replace(testbed.DefaultConfig, `address: "${gateway}"`, fmt.Sprintf(`address: "${gateway}", processors: ["unix://%s/%s.sock"]`, f.Dir, processor), 1))
	f.Until(testbed.Patience, "a revision with one processor", func() bool { return f.Revision() != before && f.AtRest() })
	f.Eventually(testbed.Patience, "a call by one processor", func() error { return f.Ping("/mcp") })
}

// TestFleet: two processors and a control plane agree on breakers within seconds, and do
// without it.
func TestFleet(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	t.Run("an operator's word reaches every processor", func(t *testing.T) {
		f.hold("get_order", testbed.Mumbai, adminv1.BreakerHold_BREAKER_HOLD_OPEN)
		f.region("get_order", testbed.Delhi)
		if got := f.call("list_orders"); got != testbed.Mumbai {
			t.Errorf("another tool is answered by %q", got)
		}
	})
	t.Run("it survives the control plane", func(t *testing.T) {
		f.Kill(testbed.XDS)
		f.region("get_order", testbed.Delhi)
		f.Kill(testbed.Extproc1)
		f.Restart(testbed.Extproc1)
		f.region("get_order", testbed.Delhi)
		f.Restart(testbed.XDS)
		f.Eventually(testbed.Patience, "the word is still there", func() error {
			list, err := f.admin.ListBreakers(t.Context(), &adminv1.ListBreakersRequest{})
			if err != nil {
				return err
			}
			if all := list.GetBreakers(); len(all) != 1 || !all[0].GetHeld() || all[0].GetBy() != "operator asha" || all[0].GetReason() != "bad release" || len(list.GetProcessors()) != 2 {
				return fmt.Errorf("it is %v", list)
			}
			return nil
		})
		// The Envoy comes back in its own time.
		f.Eventually(testbed.Patience, "the control plane's metrics tell of all of them", func() error {
			metrics, err := f.Metrics(f.XDSAdmin)
			if err != nil {
				return err
			}
			for _, want := range []string{"holdfast_fleet_processors 2", `holdfast_breaker_override{region="asia-south1",server="orders",state="open",tool="get_order"} 1`, `holdfast_xds_nodes{kind="envoy",sync="`} {
				if !strings.Contains(metrics, want) {
					return fmt.Errorf("there is no %s", want)
				}
			}
			return nil
		})
		f.region("get_order", testbed.Delhi)
		f.hold("get_order", testbed.Mumbai, adminv1.BreakerHold_BREAKER_HOLD_AUTO)
		f.region("get_order", testbed.Mumbai)
	})
	t.Run("what one processor finds out the other knows", func(t *testing.T) {
		f.only(testbed.Extproc1)
		f.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultIsError, Tools: []string{"get_order"}})
		work := func() { f.call("get_order"); f.call("list_orders") }
		opened := f.until(time.Minute, testbed.Extproc1, "get_order", breakerOpen, work)
		known := f.until(told, testbed.Extproc2, "get_order", breakerOpen, nil)
		t.Logf("the other processor knows %v later", known.Sub(opened).Round(10*time.Millisecond))
		metrics, err := f.Metrics(f.Addr(testbed.Extproc2))
		if err != nil || strings.Contains(metrics, `tool="get_order",verdict="failed"`) {
			t.Errorf("it has seen failures itself: %v", err)
		}
		f.Fault("primary-mumbai", demo.Faults{})
		f.until(time.Minute, testbed.Extproc1, "get_order", breakerClosed, work)
		f.until(told, testbed.Extproc2, "get_order", breakerClosed, nil)
	})
	t.Run("without a control plane each decides alone", func(t *testing.T) {
		f.Kill(testbed.XDS)
		f.Fault("primary-mumbai", demo.Faults{Mode: demo.FaultIsError, Tools: []string{"report"}})
		work := func() {
			if _, err := f.Post("/mcp", testbed.ModernHeaders("tools/call", "report"), testbed.CallTool("1", "report", `{"delay_ms":0}`)); err != nil {
				t.Fatal(err)
			}
			f.call("list_orders")
		}
		f.until(time.Minute, testbed.Extproc1, "report", breakerOpen, work)
		if got := f.state(testbed.Extproc2, "report"); got == breakerOpen {
			t.Error("the other one knows, though nobody can have told it")
		}
		f.Restart(testbed.XDS)
		f.until(time.Minute, testbed.Extproc2, "report", breakerOpen, nil)
	})
}
