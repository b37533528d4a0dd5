package decide_test

import (
	"strings"
	"testing"
	"time"
)

// TestCallersWait: the shorter of what the header and the message say counts, what nobody can mean does not,
// and no word of the caller makes the action's timeout longer.
func TestCallersWait(t *testing.T) {
	rules := table(t)
	now := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		prefer, meta string
		wait, left   time.Duration
	}{
		{"", "", 0, 3 * time.Second},
		{"wait=2", "", 2 * time.Second, 2 * time.Second},
		{`respond-async, Wait = "2"; x=y`, "", 2 * time.Second, 2 * time.Second},
		{"wait=60", "", time.Minute, 3 * time.Second},
		{"wait=2", "500", 500 * time.Millisecond, 500 * time.Millisecond},
		{"wait=1", "2500", time.Second, time.Second},
		{"wait=0", "0", 0, 3 * time.Second},
		{"wait=-1", "-1", 0, 3 * time.Second},
		{"wait=soon", `"500"`, 0, 3 * time.Second},
		{"wait=99999999999", "86400001", 0, 3 * time.Second},
		{"waiting=1", "1.5", 0, 3 * time.Second},
	} {
		meta := modernMeta
		if c.meta != "" {
			meta = strings.Replace(modernMeta, `"_meta":{`, `"_meta":{"holdfast/timeoutMs":`+c.meta+`,`, 1)
		}
		request := post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order",`+meta+`}}`,
			"mcp-protocol-version: 2026-07-28", "mcp-method: tools/call", "mcp-name: get_order")
		if c.prefer != "" {
			request.Header = append(request.Header.(headers), "prefer: "+c.prefer)
		}
		got := rules.Body(request)
		if got.Answer != nil {
			t.Fatalf("%+v: %s", c, got.Answer.Body)
		}
		if left := got.Deadline(now).Sub(now); got.Wait != c.wait || left != c.left {
			t.Errorf("prefer %q, meta %q: waits %v, %v left; want %v, %v", c.prefer, c.meta, got.Wait, left, c.wait, c.left)
		}
	}
	if listen := rules.Body(modern("subscriptions/listen", "", "")); listen.Action.GetTimeout() == nil && !listen.Deadline(now).IsZero() {
		t.Error("a stream has a deadline")
	}
}
