package decide_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const (
	echoCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + modernMeta + `,"name":"echo"}}`
	version  = "mcp-protocol-version: 2026-07-28"
	toolsFor = "mcp-method: tools/call"
)

func TestBodyRefuses(t *testing.T) {
	list := func(meta string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{` + meta + `}}}`
	}
	const (
		metaVersion = `"io.modelcontextprotocol/protocolVersion":`
		metaClient  = `"io.modelcontextprotocol/clientCapabilities":`
		listFor     = "mcp-method: tools/list"
	)
	tests := map[string]struct {
		request *decide.Request
		status  int
		id      string
		number  string
	}{
		// Bodies.
		"not JSON":                  {post(`{`), 400, "null", "-32700"},
		"duplicate tool name":       {post(`{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"a","name":"b"}}`), 400, `"x"`, "-32600"},
		"batch without a version":   {post(`[` + echoCall + `]`), 400, "null", "-32600"},
		"batch of 2025-03-26":       {post(`[]`, "mcp-protocol-version: 2025-03-26"), 400, "null", "-32600"},
		"modern batch":              {post(`[`+echoCall+`]`, version), 400, "null", "-32600"},
		"too large":                 {post(`{"x":"` + strings.Repeat("x", 4096) + `"}`), 413, "null", "-32600"},
		"unknown path":              {&decide.Request{Verb: "POST", Path: "/x", Header: headers{}, RequestID: "req-1"}, 404, "null", "1404"},
		"call without a tool":       {post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`), 400, "1", "-32602"},
		"tool name a number":        {post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}`), 400, "1", "-32602"},
		"empty tool name":           {post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}`), 400, "1", "-32602"},
		"read without a uri":        {post(`{"jsonrpc":"2.0","id":1,"method":"resources/read"}`), 400, "1", "-32602"},
		"call without an id":        {post(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"create_order"}}`), 400, "null", "-32600"},
		"modern response":           {post(`{"jsonrpc":"2.0","id":1,"result":{}}`, version), 400, "null", "-32600"},
		"modern response of errors": {post(`{"jsonrpc":"2.0","id":1,"error":{}}`, version), 400, "null", "-32600"},

		// Versions.
		"unknown version":               {post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "mcp-protocol-version: zzz"), 400, "1", "-32022"},
		"2024-11-05":                    {post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "mcp-protocol-version: 2024-11-05"), 400, "1", "-32022"},
		"a version of tomorrow":         {post(list(metaVersion+`"2027-01-01",`+metaClient+`{}`), "mcp-protocol-version: 2027-01-01", listFor), 400, "1", "-32022"},
		"initialize, unknown header":    {post(`{"jsonrpc":"2.0","id":1,"method":"initialize"}`, "mcp-protocol-version: x"), 400, "1", "-32022"},
		"legacy version in _meta":       {post(list(metaVersion+`"2025-11-25",`+metaClient+`{}`), "mcp-protocol-version: 2025-11-25", listFor), 400, "1", "-32022"},
		"version in _meta only":         {post(list(metaVersion + `"2026-07-28",` + metaClient + `{}`)), 400, "1", "-32020"},
		"versions differ":               {post(list(metaVersion+`"2026-07-28",`+metaClient+`{}`), "mcp-protocol-version: 2025-11-25", listFor), 400, "1", "-32020"},
		"version twice":                 {post(list(metaVersion+`"2026-07-28",`+metaClient+`{}`), version, version, listFor), 400, "1", "-32020"},
		"versions joined":               {post(list(metaVersion+`"2026-07-28",`+metaClient+`{}`), "mcp-protocol-version: 2026-07-28,2026-07-28", listFor), 400, "1", "-32020"},
		"header only":                   {post(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, version, listFor), 400, "1", "-32602"},
		"no version in _meta":           {post(list(metaClient+`{}`), version, listFor), 400, "1", "-32602"},
		"no capabilities":               {post(list(metaVersion+`"2026-07-28"`), version, listFor), 400, "1", "-32602"},
		"capabilities no object":        {post(list(metaVersion+`"2026-07-28",`+metaClient+`true`), version, listFor), 400, "1", "-32602"},
		"modern initialize, no _meta":   {post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`, version), 400, "1", "-32602"},
		"notification versions differ":  {post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{`+modernMeta+`}}`, "mcp-protocol-version: 2025-11-25"), 400, "null", "-32020"},
		"notification of another name":  {post(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, version, toolsFor), 400, "null", "-32020"},
		"notification, unknown version": {post(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, "mcp-protocol-version: 1"), 400, "null", "-32022"},

		// Mcp-Method and Mcp-Name.
		"no Mcp-Method":            {post(echoCall, version, "mcp-name: echo"), 400, "1", "-32020"},
		"another Mcp-Method":       {post(echoCall, version, "mcp-method: tools/list", "mcp-name: echo"), 400, "1", "-32020"},
		"Mcp-Method in upper case": {post(echoCall, version, "mcp-method: Tools/Call", "mcp-name: echo"), 400, "1", "-32020"},
		"Mcp-Method in base64":     {post(echoCall, version, "mcp-method: =?base64?dG9vbHMvY2FsbA==?=", "mcp-name: echo"), 400, "1", "-32020"},
		"Mcp-Method twice":         {post(echoCall, version, toolsFor, toolsFor, "mcp-name: echo"), 400, "1", "-32020"},
		"no Mcp-Name":              {post(echoCall, version, toolsFor), 400, "1", "-32020"},
		"another Mcp-Name":         {post(echoCall, version, toolsFor, "mcp-name: other"), 400, "1", "-32020"},
		"Mcp-Name in upper case":   {post(echoCall, version, toolsFor, "mcp-name: Echo"), 400, "1", "-32020"},
		"Mcp-Name twice":           {post(echoCall, version, toolsFor, "mcp-name: echo", "mcp-name: echo"), 400, "1", "-32020"},
		"Mcp-Name joined":          {post(echoCall, version, toolsFor, "mcp-name: echo,echo"), 400, "1", "-32020"},
		"another name in base64":   {post(echoCall, version, toolsFor, "mcp-name: =?base64?b3RoZXI=?="), 400, "1", "-32020"},
		"base64 not canonical":     {post(echoCall, version, toolsFor, "mcp-name: =?base64?ZWNob3==?="), 400, "1", "-32020"},
		"base64 not padded":        {post(echoCall, version, toolsFor, "mcp-name: =?base64?ZWNobw?="), 400, "1", "-32020"},
		"base64 of another kind":   {post(strings.Replace(echoCall, "echo", "a>?", 1), version, toolsFor, "mcp-name: =?base64?YT4_?="), 400, "1", "-32020"},
		"base64 with a line break": {post(echoCall, version, toolsFor, "mcp-name: =?base64?ZWNo\nbw==?="), 400, "1", "-32020"},
		"base64 not UTF-8":         {post(echoCall, version, toolsFor, "mcp-name: =?base64?/w==?="), 400, "1", "-32020"},
		"marks in upper case":      {post(echoCall, version, toolsFor, "mcp-name: =?BASE64?ZWNobw==?="), 400, "1", "-32020"},
		"one mark alone":           {post(echoCall, version, toolsFor, "mcp-name: =?base64?ZWNobw=="), 400, "1", "-32020"},
		"raw UTF-8": {
			post(strings.Replace(echoCall, "echo", "héllo", 1), version, toolsFor, "mcp-name: héllo"), 400, "1", "-32020",
		},
		"another uri":  {modern("resources/read", `"uri":"file:///a"`, "file:///b"), 400, "1", "-32020"},
		"another task": {modern("tasks/get", `"taskId":"t1"`, "t2"), 400, "1", "-32020"},
	}
	rules := table(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rules.Body(test.request)
			if got.Answer == nil || got.Action != nil || got.Call != nil || got.SetHeaders != nil {
				t.Fatalf("not refused: %+v", got)
			}
			if got.Answer.Status != test.status {
				t.Errorf("status %d, want %d", got.Answer.Status, test.status)
			}
			checkRefusal(t, got.Answer, test.id, test.number)
		})
	}
}

func TestUnsupportedVersionNamesTheOthers(t *testing.T) {
	got := table(t).Body(post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "mcp-protocol-version: "+strings.Repeat("9", 500)))
	want := `"data":{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"requested":"` + strings.Repeat("9", 64) + `",`
	if got.Answer == nil || !strings.Contains(string(got.Answer.Body), want) {
		t.Errorf("body %s lacks %s", got.Answer.Body, want)
	}
}

func TestBodyPasses(t *testing.T) {
	tests := map[string]struct {
		request  *decide.Request
		rule     string
		route    string
		revision string
		removed  []string
		set      string
	}{
		"modern call":           {modern("tools/call", `"name":"echo"`, "echo"), decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, ""},
		"white space in values": {post(echoCall, "mcp-protocol-version: \t2026-07-28 ", "mcp-method:  tools/call\t", "mcp-name:   echo  "), decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, ""},
		"name in base64":        {modern("tools/call", `"name":"echo"`, "=?base64?ZWNobw==?="), decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, ""},
		"name beyond ASCII":     {modern("tools/call", `"name":"h\u00e9llo"`, "=?base64?aMOpbGxv?="), decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, ""},
		"a name with one mark":  {modern("tools/call", `"name":"=?base64?x"`, "=?base64?x"), decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, ""},
		"escaped body": {
			post(`{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/call","params":{`+modernMeta+`,"name":"\u0065cho"}}`, version, toolsFor, "mcp-name: echo"),
			decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28", nil, "",
		},
		"modern list":         {modern("tools/list", "", ""), decide.RuleSafeMethod, "r-safe", "2026-07-28", nil, ""},
		"modern discover":     {modern("server/discover", "", ""), decide.RuleSafeMethod, "r-safe", "2026-07-28", nil, ""},
		"modern read":         {modern("resources/read", `"uri":"file:///a"`, "file:///a"), decide.RuleSafeMethod, "r-safe", "2026-07-28", nil, ""},
		"modern listen":       {modern("subscriptions/listen", "", ""), decide.RuleStream, "r-stream", "2026-07-28", nil, ""},
		"modern extension":    {modern("x/y", "", "kept"), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, ""},
		"name of no use":      {modern("tools/list", "", "echo"), decide.RuleSafeMethod, "r-safe", "2026-07-28", []string{"mcp-name"}, ""},
		"removed method":      {modern("tasks/result", `"taskId":"t"`, ""), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, ""},
		"removed, no target":  {modern("tasks/result", "", ""), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, ""},
		"read, next leg":      {modern("resources/read", `"uri":"u","requestState":"s"`, "u"), decide.RuleSafeMethod, "r-safe-once", "2026-07-28", nil, ""},
		"modern notification": {post(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, version), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, "notifications/cancelled"},
		"notification with its method": {
			post(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, version, "mcp-method: notifications/cancelled"), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, "",
		},
		"notification, version in _meta": {
			post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{` + modernMeta + `}}`), decide.RuleOtherMethod, "r-other", "2026-07-28", nil, "notifications/cancelled",
		},
		"session ignored in modern": {
			post(echoCall, version, toolsFor, "mcp-name: echo", "mcp-session-id: s", "mcp-param-region: x", "accept-encoding: gzip", "last-event-id: 1"),
			decide.RuleUnmatchedTool, "r-unmatched", "2026-07-28",
			[]string{"accept-encoding", "last-event-id", "mcp-session-id"},
			"",
		},

		"initialize": {
			post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}`), decide.RuleOtherMethod, "r-other", "2025-06-18", nil, "",
		},
		"initialize of an unknown revision": {
			post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2099-01-01"}}`, "mcp-protocol-version: 2025-03-26"), decide.RuleOtherMethod, "r-other", "2025-11-25", nil, "",
		},
		"no version":     {post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), decide.RuleSafeMethod, "r-safe", "2025-03-26", nil, ""},
		"legacy version": {post(`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "mcp-protocol-version: 2025-11-25"), decide.RuleSafeMethod, "r-safe", "2025-11-25", nil, ""},
		"legacy with forged headers": {
			post(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_order"}}`, "mcp-protocol-version: 2025-11-25",
				"mcp-method: tools/list", "mcp-name: echo", "mcp-param-a: 1", "mcp-param-b: 2", "mcp-session-id: s"),
			"tools[1]", "r-tools[1]-once", "2025-11-25",
			[]string{"mcp-method", "mcp-name", "mcp-param-a", "mcp-param-b"},
			"",
		},
		"legacy probe for modern": {post(`{"jsonrpc":"2.0","id":1,"method":"server/discover"}`), decide.RuleSafeMethod, "r-safe", "2025-03-26", nil, ""},
		"posted response":         {post(`{"jsonrpc":"2.0","id":1,"result":{}}`, "mcp-protocol-version: 2025-11-25"), decide.RuleOtherMethod, "r-other", "2025-11-25", nil, ""},
		"initialized":             {post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "mcp-protocol-version: 2025-11-25"), decide.RuleOtherMethod, "r-other", "2025-11-25", nil, ""},
		"unknown legacy method":   {post(`{"jsonrpc":"2.0","id":1,"method":"x/y"}`), decide.RuleOtherMethod, "r-other", "2025-03-26", nil, ""},
		"subscribe":               {post(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"u"}}`), decide.RuleOtherMethod, "r-other", "2025-03-26", nil, ""},
	}
	rules := table(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if first := rules.Headers(test.request); !first.NeedBody {
				t.Fatalf("refused by its headers: %s", first.Answer.Body)
			}
			got := rules.Body(test.request)
			if got.Answer != nil {
				t.Fatalf("refused: %s", got.Answer.Body)
			}
			if got.Rule != test.rule || got.Action.GetRoute() != test.route || got.Revision != test.revision {
				t.Errorf("rule %q, route %q, revision %q", got.Rule, got.Action.GetRoute(), got.Revision)
			}
			if header(got.SetHeaders, names.HeaderRoute) != test.route || header(got.SetHeaders, "mcp-method") != test.set {
				t.Errorf("set %v", got.SetHeaders)
			}
			if diff := cmp.Diff(test.removed, got.RemoveHeaders); diff != "" {
				t.Errorf("removed headers (-want +got):\n%s", diff)
			}
			sent, err := decide.DecodeCall(decide.EncodeCall(got.Call))
			if err != nil || !proto.Equal(sent, got.Call) {
				t.Errorf("call %v, %v; want %v", sent, err, got.Call)
			}
		})
	}
}

// TestDiscoverIsAlwaysRemembered: clients take its failure for an old server.
func TestDiscoverIsAlwaysRemembered(t *testing.T) {
	policy := shopmax()
	policy.StaleListMaxAge = nil
	rules := table(t, policy)
	discover, list := rules.Body(modern("server/discover", "", "")), rules.Body(modern("tools/list", "", ""))
	if discover.CatalogKey == "" || discover.Route.RememberFor("server/discover") != 24*time.Hour {
		t.Errorf("discover: key %q, for %v", discover.CatalogKey, discover.Route.RememberFor("server/discover"))
	}
	if list.CatalogKey != "" || list.Route.RememberFor("tools/list") != 0 {
		t.Errorf("list: key %q, for %v", list.CatalogKey, list.Route.RememberFor("tools/list"))
	}
}

func TestCallContext(t *testing.T) {
	second := durationpb.New(1e9)
	tests := map[string]struct {
		request *decide.Request
		want    *policyv1.CallContext
	}{
		"safe tool with progress": {
			post(`{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"get_x","_meta":{"progressToken":1}}}`),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "tools/call", Tool: "get_x", Id: []byte(`"a\u0062"`), Safe: true,
				Progress: true, PerTryTimeout: second, Revision: "2025-03-26",
			},
		},
		"safe tool, next leg": {
			post(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"get_x","inputResponses":{}}}`),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "tools/call", Tool: "get_x", Id: []byte(`2`), PerTryTimeout: second, Revision: "2025-03-26",
			},
		},
		"list": {
			post(`{"jsonrpc":"2.0","id":3,"method":"tools/list"}`),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "tools/list", Id: []byte(`3`), Safe: true, PerTryTimeout: second, Revision: "2025-03-26",
				CatalogKey: "orders/2025-03-26/tools/list?cursor=", Shareable: true,
			},
		},
		"list of one caller": {
			post(`{"jsonrpc":"2.0","id":3,"method":"tools/list"}`, "authorization: Bearer x"),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "tools/list", Id: []byte(`3`), Safe: true, PerTryTimeout: second, Revision: "2025-03-26",
				CatalogKey: "orders/2025-03-26/tools/list?cursor=&caller=59c910ab11a2308cefa2db269d18a279", Principal: 59980,
			},
		},
		"list, next leg": {
			post(`{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"requestState":""}}`),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "tools/list", Id: []byte(`3`), PerTryTimeout: second, Revision: "2025-03-26",
			},
		},
		"notification": {
			post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`),
			&policyv1.CallContext{
				Policy: "shopmax", Server: "orders", Method: "notifications/initialized", PerTryTimeout: second, Revision: "2025-03-26",
			},
		},
		"response": {
			post(`{"jsonrpc":"2.0","id":9,"result":{}}`),
			&policyv1.CallContext{Policy: "shopmax", Server: "orders", PerTryTimeout: second, Revision: "2025-03-26"},
		},
	}
	rules := table(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := rules.Body(test.request)
			if diff := cmp.Diff(test.want, got.Call, protocmp.Transform()); diff != "" {
				t.Errorf("call (-want +got):\n%s", diff)
			}
			if got.CatalogKey != test.want.GetCatalogKey() {
				t.Errorf("catalog key %q", got.CatalogKey)
			}
		})
	}
	never := shopmax()
	never.StaleListMaxAge = nil
	if got := table(t, never).Body(post(`{"jsonrpc":"2.0","id":3,"method":"tools/list"}`)); got.CatalogKey != "" || got.Call.GetShareable() {
		t.Errorf("a list is remembered where none may be served stale: %q", got.CatalogKey)
	}
}
