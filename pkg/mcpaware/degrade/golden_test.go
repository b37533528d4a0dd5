package degrade_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	mcpStyle  = policyv1.ErrorStyle_ERROR_STYLE_MCP
	httpStyle = policyv1.ErrorStyle_ERROR_STYLE_HTTP
)

func safeCall() *policyv1.CallContext {
	return &policyv1.CallContext{
		Policy: "shopmax", Server: "orders", Method: "tools/call", Tool: "get_order",
		Id: []byte(`"a\u0062c"`), Safe: true, Revision: "2026-07-28",
	}
}

func unsafeCall() *policyv1.CallContext {
	call := safeCall()
	call.Tool, call.Safe, call.Id, call.Revision = "create_order", false, []byte("7"), "2025-11-25"
	return call
}

func listCall(revision string) *policyv1.CallContext {
	return &policyv1.CallContext{
		Policy: "shopmax", Server: "orders", Method: "tools/list", Id: []byte("9007199254740991"), Safe: true, Revision: revision,
	}
}

func TestAnswersGolden(t *testing.T) {
	down := degrade.Local{Status: 503, Flags: "UH", CodeDetails: "no_healthy_upstream"}
	late := degrade.Local{Status: 504, Flags: "UT", CodeDetails: "response_timeout", Attempts: 2}
	entry := &policyv1.CatalogEntry{
		Key: "orders/x", Server: "orders", Method: "tools/list",
		Result: []byte(`{"ttlMs":60000,"tools":[{"name":"get_order","x":1.0}],"_meta":{"io.modelcontextprotocol/serverInfo":{}},"resultType":"complete"}`),
		AsOf:   timestamppb.New(time.Date(2026, 8, 22, 10, 30, 0, 0, time.UTC)),
	}
	plain := &policyv1.CatalogEntry{Key: "orders/y", Result: []byte(`{"tools":[{"name":"get_order"}]}`), AsOf: entry.GetAsOf()}
	stale := func(call *policyv1.CallContext, entry *policyv1.CatalogEntry, age time.Duration) degrade.Answer {
		answer, err := degrade.Stale(call, entry, age, degrade.ServiceUnavailable)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	render := func(local degrade.Local, call *policyv1.CallContext, style policyv1.ErrorStyle) degrade.Answer {
		return degrade.Render(call, degrade.FromEnvoy(local, call, "req-1"), style)
	}
	notification := &policyv1.CallContext{Server: "orders", Method: "notifications/progress"}
	answers := map[string]degrade.Answer{
		"tool-down-modern":         render(down, safeCall(), mcpStyle),
		"tool-down-http":           render(down, safeCall(), httpStyle),
		"unsafe-tool-down-legacy":  render(down, unsafeCall(), mcpStyle),
		"unsafe-tool-late-legacy":  render(late, unsafeCall(), mcpStyle),
		"unsafe-tool-late-http":    render(late, unsafeCall(), httpStyle),
		"list-down":                render(down, listCall("2026-07-28"), mcpStyle),
		"list-late-http":           render(late, listCall("2026-07-28"), httpStyle),
		"notification-down":        render(down, notification, mcpStyle),
		"unknown-message-down":     render(down, nil, mcpStyle),
		"tool-busy":                degrade.Render(safeCall(), degrade.Busy(8, true, 1500*time.Millisecond, safeCall(), "req-1"), mcpStyle),
		"unsafe-server-busy-http":  degrade.Render(unsafeCall(), degrade.Busy(1, false, time.Second, unsafeCall(), "req-1"), httpStyle),
		"tool-crowded-out":         degrade.Render(safeCall(), degrade.Crowded(64, time.Second, safeCall(), "req-1"), mcpStyle),
		"tool-overloaded":          degrade.Render(safeCall(), degrade.Crowded(0, 2*time.Second, safeCall(), "req-1"), mcpStyle),
		"tool-failed-everywhere":   degrade.Render(safeCall(), degrade.New(degrade.DependencyFailed, degrade.Unknown, safeCall(), "req-1"), mcpStyle),
		"unsafe-tool-failed":       degrade.Render(unsafeCall(), degrade.New(degrade.DependencyFailed, degrade.Unknown, unsafeCall(), ""), mcpStyle),
		"list-stale-modern":        stale(listCall("2026-07-28"), entry, 90*time.Second+900*time.Millisecond),
		"list-stale-legacy":        stale(listCall("2025-06-18"), entry, 0),
		"list-stale-no-ttl-modern": stale(listCall("2026-07-28"), plain, -time.Hour),
		"refusal": degrade.Refuse(degrade.Refusal{
			Status: 400, Number: -32020, Code: degrade.ValidationFailed, Message: "header Mcp-Name is missing", ID: []byte("1"), RequestID: "req-1",
		}),
		"refusal-with-data": degrade.Refuse(degrade.Refusal{
			Status: 405, Number: -32600, Code: degrade.InvalidInput, Message: "no",
			Data: []byte(`"supported":["x"]`), Headers: []degrade.HeaderValue{{Name: "allow", Value: "POST"}},
		}),
	}
	maps.Copy(answers, standIns(t))
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			if !jsontext.Value(answer.Body).IsValid() {
				t.Fatalf("body is not JSON: %s", answer.Body)
			}
			compare(t, filepath.Join("testdata", name+".golden"), text(&answer))
		})
	}
	found, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range found {
		if _, used := answers[strings.TrimSuffix(filepath.Base(file), ".golden")]; !used {
			t.Errorf("%s belongs to no case", file)
		}
	}
	event := degrade.ErrorEvent(unsafeCall(), degrade.New(degrade.Timeout, degrade.Unknown, unsafeCall(), ""), mcpStyle)
	answer := degrade.Render(unsafeCall(), degrade.New(degrade.Timeout, degrade.Unknown, unsafeCall(), ""), mcpStyle)
	if want := "event: message\ndata: " + string(answer.Body) + "\n\n"; string(event) != want {
		t.Errorf("event %q, want %q", event, want)
	}
}

func text(answer *degrade.Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP %d (source %q)\n", answer.Status, answer.Source)
	for _, header := range answer.Headers {
		fmt.Fprintf(&b, "%s: %s\n", header.Name, header.Value)
	}
	fmt.Fprintf(&b, "\n%s\n", answer.Body)
	return b.String()
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (write it with: go test -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// What is said in HTTP 200 always has the exact id, and nothing else is 200.
func TestOnly200WithID(t *testing.T) {
	codes := []degrade.Code{
		degrade.InvalidInput, degrade.MissingParameter, degrade.ValidationFailed, degrade.Unauthorized, degrade.RateLimited,
		degrade.InternalError, degrade.ServiceUnavailable, degrade.Timeout, degrade.DependencyFailed, "unheard of",
	}
	var numbers []int
	for _, code := range codes {
		for _, style := range []policyv1.ErrorStyle{mcpStyle, httpStyle} {
			for _, call := range []*policyv1.CallContext{nil, {}, {Method: "tools/call"}, safeCall(), unsafeCall(), listCall("2025-03-26")} {
				answer := degrade.Render(call, degrade.New(code, degrade.Unknown, call, ""), style)
				hasID := len(call.GetId()) > 0 && strings.Contains(string(answer.Body), `"id":`+string(call.GetId())+",")
				if (answer.Status == 200) != (hasID && style == mcpStyle) {
					t.Errorf("%s for %v: status %d, body %s", code, call, answer.Status, answer.Body)
				}
				if !jsontext.Value(answer.Body).IsValid() {
					t.Errorf("%s: body is not JSON: %s", code, answer.Body)
				}
			}
		}
		if n := code.Number(); n >= -32768 && n <= -32000 {
			t.Errorf("%s has the reserved number %d", code, n)
		}
		numbers = append(numbers, code.Number())
	}
	numbers = numbers[:len(numbers)-1]
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) != len(codes)-1 {
		t.Errorf("two codes share a number: %v", numbers)
	}
}

// A name from outside can neither break the JSON nor smuggle in bytes that are not UTF-8.
func TestHostileNames(t *testing.T) {
	call := safeCall()
	call.Tool = "a\"},\"id\":1\n\u2028\xff"
	answer := degrade.Render(call, degrade.New(degrade.DependencyFailed, degrade.Unknown, call, "r\xff"), mcpStyle)
	if !jsontext.Value(answer.Body).IsValid() {
		t.Errorf("body is not JSON: %q", answer.Body)
	}
}

func TestStaleRefuses(t *testing.T) {
	asOf := timestamppb.New(time.Unix(0, 0))
	tests := map[string]struct {
		call   *policyv1.CallContext
		result string
	}{
		"no id":        {&policyv1.CallContext{Method: "tools/list"}, `{}`},
		"not object":   {listCall("2025-11-25"), `[]`},
		"not JSON":     {listCall("2025-11-25"), `{},"id":2`},
		"modern array": {listCall("2026-07-28"), `[]`},
		"meta no object": {
			listCall("2025-11-25"), `{"_meta":1}`,
		},
	}
	for name, test := range tests {
		answer, err := degrade.Stale(test.call, &policyv1.CatalogEntry{Result: []byte(test.result), AsOf: asOf}, time.Second, degrade.Timeout)
		if err == nil {
			t.Errorf("%s: answered %s", name, answer.Body)
		}
	}
}
