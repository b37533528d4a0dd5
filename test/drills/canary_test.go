package drills

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// canaryName is the new version; two of the sixteen callers are with one of this name that has a tenth of them.
const canaryName = "orders-2"

// canaryConfig has the second demo server as a new version of the first.
const canaryConfig = `
kind: Gateway
metadata: {name: test}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{name: primary-mumbai, address: "${primary-mumbai}"}]}]
---
kind: MCPServer
metadata: {name: orders-2}
spec:
  regions: [{name: asia-south1, endpoints: [{name: standby-delhi, address: "${standby-delhi}"}]}]
---
kind: MCPRoute
metadata: {name: orders}
spec:
  servers: [{name: orders}]
  timeout: 31s
  tools: [{match: {name: create_order}, timeout: 20s}]
`

// TestBadCanary: a tenth of the callers get a version of which a fifth of the unsafe calls fail. It is taken back by itself.
func TestBadCanary(t *testing.T) {
	d := start(t, canaryDrill, testbed.Options{Config: canaryConfig})
	d.Fault(standby, demo.Faults{Mode: demo.FaultRPCError, Share: 0.2})
	d.begin(testbed.CreateOrder)
	began := time.Now()
	if _, _, err := command(t, "canary", "start", "orders", "--to", canaryName, "--share", "10%", "--for", "1h", "--server", "http://"+d.XDSAdmin); err != nil {
		t.Fatal(err)
	}
	var why string
	d.Until(patience, "the canary is taken back", func() bool {
		said, _, err := command(t, "canary", "-o", "json", "--server", "http://"+d.XDSAdmin)
		var list struct {
			Canaries []struct{ State, Why string }
		}
		if err != nil || json.Unmarshal([]byte(said), &list) != nil || len(list.Canaries) != 1 {
			return false
		}
		why = list.Canaries[0].Why
		return strings.HasSuffix(list.Canaries[0].State, "ROLLED_BACK")
	})
	took := time.Since(began)
	d.Until(patience, "every Envoy and processor has heard of it", d.AtRest)
	back := time.Now()
	d.last(5*time.Second, 2)
	calls := d.load.Stop()
	failed := count(calls, func(c testbed.Call) bool { return !c.Good() })
	with := count(calls, func(c testbed.Call) bool { return c.Via == standby })
	after := 0
	for _, c := range calls {
		if c.Via == standby && c.Start.After(back) {
			after++
		}
	}
	d.holds("calls that the bad version got", "some", number(with), with > 0)
	d.holds("why it was taken back", "calls failed", why, strings.Contains(why, "calls failed") || strings.Contains(why, "fails"))
	d.within("until it was taken back", took, time.Minute, 0)
	d.atMost("errors that reached callers", failed, 40, "of "+number(len(calls)))
	d.atMost("calls that it got after that", after, 0, "")
	d.unsafeHold(calls)
}
