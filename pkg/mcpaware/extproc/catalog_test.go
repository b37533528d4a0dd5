package extproc

import (
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

func TestAttemptRemembersLists(t *testing.T) {
	t.Parallel()
	const list = `{"tools":[{"name":"get_order"}]}`
	answer := func(result string) string { return `{"jsonrpc":"2.0","id":7,"result":` + result + `}` }
	large := `{"tools":[{"name":"get_order","description":"` + strings.Repeat("x", 70<<10) + `"}]}`
	huge := `{"tools":[{"name":"get_order","description":"` + strings.Repeat("x", 1<<20) + `"}]}`
	inTwo := func(s string) []*extprocv3.ProcessingRequest {
		return []*extprocv3.ProcessingRequest{responseBody(s[:len(s)/2], false), responseBody(s[len(s)/2:], true)}
	}
	tests := []struct {
		name    string
		headers []string
		change  func(*policyv1.CallContext)
		body    []*extprocv3.ProcessingRequest
		// want is the remembered result; shared says that it is reported.
		want   string
		shared bool
	}{
		{name: "JSON", headers: jsonHeaders, body: inTwo(answer(list)), want: list, shared: true},
		{name: "event", headers: eventHeaders, body: inTwo(event(answer(list))), want: list, shared: true},
		{name: "large JSON", headers: jsonHeaders, body: inTwo(answer(large)), want: large, shared: true},
		{name: "large event", headers: eventHeaders, body: inTwo(event(answer(large))), want: large, shared: true},
		{name: "huge JSON", headers: jsonHeaders, body: inTwo(answer(huge))},
		{name: "huge event", headers: eventHeaders, body: inTwo(event(answer(huge)))},
		{name: "private", headers: jsonHeaders, change: func(c *policyv1.CallContext) { c.Shareable = false }, body: inTwo(answer(list)), want: list},
		{name: "nobody's", headers: jsonHeaders, change: func(c *policyv1.CallContext) { c.CatalogKey = "" }, body: inTwo(answer(list))},
		{name: "empty list", headers: jsonHeaders, body: inTwo(answer(`{"tools":[]}`))},
		{name: "no list", headers: jsonHeaders, body: inTwo(answer(`{}`))},
		{name: "failure", headers: jsonHeaders, body: inTwo(brokenResult)},
		{name: "refusal", headers: jsonHeaders, body: inTwo(refusal)},
		{name: "another's answer", headers: jsonHeaders, body: inTwo(`{"jsonrpc":"2.0","id":8,"result":` + large + `}`)},
		{name: "not whole", headers: jsonHeaders, body: inTwo(answer(large))[:1]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
				x := e.open(names.PointAttempt)
				call := getOrder(func(c *policyv1.CallContext) {
					c.Method, c.Tool, c.CatalogKey, c.Shareable = "tools/list", "", "k", true
				})
				if tt.change != nil {
					tt.change(call)
				}
				x.say(tryHeaders(t, "POST", call))
				x.say(responseHeaders(false, tt.headers...))
				var sent, back strings.Builder
				for _, req := range tt.body {
					sent.Write(req.GetResponseBody().GetBody())
					for _, reply := range x.say(req) {
						if _, chunk, ok := strings.Cut(reply, " "); ok && !strings.HasPrefix(reply, "headers") {
							back.WriteString(chunk)
						}
					}
				}
				x.hangUp()
				if got := strings.Replace(back.String(), `"_meta":{"holdfast/via":"primary-mumbai"},`, "", 1); len(tt.body) > 1 && got != sent.String() &&
					got != strings.Replace(sent.String(), "{}", `{"_meta":{"holdfast/via":"primary-mumbai"}}`, 1) {
					t.Errorf("%d bytes went in, %d came out", sent.Len(), len(got))
				}
				entry, _, ok := e.catalog.Get("k", time.Hour)
				if string(entry.GetResult()) != tt.want || ok != (tt.want != "") {
					t.Errorf("remembered %d bytes, want %d", len(entry.GetResult()), len(tt.want))
				}
				if ok && (entry.GetServer() != "orders" || entry.GetMethod() != "tools/list" || entry.GetRevision() != "2026-07-28") {
					t.Errorf("entry %v", entry)
				}
				if reported := len(e.reported) == 1; reported != tt.shared {
					t.Errorf("%d entries reported, want %v", len(e.reported), tt.shared)
				}
			})
		})
	}
}
