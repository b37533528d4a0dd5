package outcome

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		body   string
		id     string
		want   Class
		usable bool
	}{
		{"result", `{"jsonrpc":"2.0","id":7,"result":{}}`, `7`, Succeeded, true},
		{"result before id", `{"result":{"content":[]},"id":"a","jsonrpc":"2.0"}`, `"a"`, Succeeded, true},
		{"another id", `{"jsonrpc":"2.0","id":8,"result":{}}`, `7`, Unrelated, false},
		{"a string is no number", `{"jsonrpc":"2.0","id":"7","result":{}}`, `7`, Unrelated, false},
		{"the same number", `{"jsonrpc":"2.0","id":7.0,"result":{}}`, `7`, Succeeded, true},
		{"the same string", `{"jsonrpc":"2.0","id":"\u0061","result":{}}`, `"a"`, Succeeded, true},
		{"no id", `{"jsonrpc":"2.0","result":{}}`, `7`, Unrelated, false},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/progress","params":{}}`, `7`, Unrelated, false},
		{"server request", `{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{}}`, `7`, Unrelated, false},
		{"batch", `[{"jsonrpc":"2.0","id":7,"result":{}}]`, `7`, Unrelated, false},

		{"parse error", errorBody(-32700), `7`, Refused, true},
		{"invalid request", errorBody(-32600), `7`, Refused, true},
		{"method not found", errorBody(-32601), `7`, Refused, true},
		{"invalid params", errorBody(-32602), `7`, Refused, true},
		{"internal error", errorBody(-32603), `7`, Failed, true},
		{"resource not found", errorBody(-32002), `7`, Refused, true},
		{"url elicitation", errorBody(-32042), `7`, Refused, true},
		{"header mismatch", errorBody(-32020), `7`, Refused, true},
		{"missing capability", errorBody(-32021), `7`, Refused, true},
		{"unsupported version", errorBody(-32022), `7`, Refused, true},
		{"reserved by the spec", errorBody(-32023), `7`, Failed, true},
		{"first of the implementations", errorBody(-32000), `7`, Failed, true},
		{"last of the implementations", errorBody(-32099), `7`, Failed, true},
		{"below the implementations", errorBody(-32100), `7`, Refused, true},
		{"an application's own", errorBody(1503), `7`, Refused, true},
		{"above the reserved range", errorBody(-31999), `7`, Refused, true},
		{"error with id null", `{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"x"}}`, `7`, Failed, false},
		{"refusal without id", `{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"}}`, `7`, Refused, false},
		{"error with another id", `{"jsonrpc":"2.0","id":8,"error":{"code":-32603,"message":"x"}}`, `7`, Unrelated, false},

		{"tool error for the model", toolError(``, `no such order`), `7`, Succeeded, true},
		{"error word in the structure", toolError(`{"error":"service_unavailable"}`, ``), `7`, Failed, true},
		{"code word in the structure", toolError(`{"code":"dependency_failed","error":"x"}`, ``), `7`, Failed, true},
		{"word one level down", toolError(`{"error":{"message":"m","code":"timeout"}}`, ``), `7`, Failed, true},
		{"word too deep", toolError(`{"error":{"error":{"code":"timeout"}}}`, ``), `7`, Succeeded, true},
		{"word elsewhere", toolError(`{"reason":"timeout","nested":{"code":"timeout"}}`, ``), `7`, Succeeded, true},
		{"caller's word", toolError(`{"code":"invalid_input"}`, ``), `7`, Succeeded, true},
		{"word is not a string", toolError(`{"code":["timeout"],"error":5}`, ``), `7`, Succeeded, true},
		{"JSON text", toolError(``, ` {\"error\":\"internal_error\"} `), `7`, Failed, true},
		{"JSON text is an array", toolError(``, `[\"internal_error\"]`), `7`, Succeeded, true},
		{"text that only begins like JSON", toolError(``, `{\"error\":\"internal_error`), `7`, Succeeded, true},
		{"words without isError", `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"error":"timeout"}}}`, `7`, Succeeded, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, fault := wire.ParseAnswer([]byte(tt.body))
			if fault != nil {
				t.Fatalf("ParseAnswer: %v", fault)
			}
			if got := Judge(&answer, []byte(tt.id)); got != tt.want {
				t.Errorf("Judge = %v, want %v", got, tt.want)
			}
			if got := Answers(&answer, []byte(tt.id)); got != tt.usable {
				t.Errorf("Answers = %v, want %v", got, tt.usable)
			}
		})
	}
}

func errorBody(code int) string {
	return `{"jsonrpc":"2.0","id":7,"error":{"code":` + itoa(code) + `,"message":"m"}}`
}

func toolError(structured, text string) string {
	result := `"isError":true,"content":[{"type":"text","text":"` + text + `"}]`
	if structured != "" {
		result += `,"structuredContent":` + structured
	}
	return `{"jsonrpc":"2.0","id":7,"result":{` + result + `}}`
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, r := range []Report{
		{ToolFailed, 200, true},
		{EndpointFailed, 503, false},
		{Timeout, 200, false},
		{CallerFault, 500, true},
	} {
		got, ok := ParseReport(r.String())
		if !ok || got != r {
			t.Errorf("ParseReport(%q) = %+v, %v", r.String(), got, ok)
		}
	}
	for _, s := range []string{
		"", ";", ";;", "tool_failed", "tool_failed;200", "tool_failed;200;json", "tool_failed;200;mcp;",
		"good;200;mcp", "other;200;mcp", "tool_failed;20;mcp", "tool_failed;0200;mcp", "tool_failed;600;mcp",
		"tool_failed;-20;mcp", "tool_failed;+20;mcp", "tool_failed; 200;mcp", "Tool_failed;200;mcp",
	} {
		if r, ok := ParseReport(s); ok {
			t.Errorf("ParseReport(%q) = %+v, want none", s, r)
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, body := range []string{errorBody(-32603), toolError(`{"error":{"code":"timeout"}}`, ``), toolError(``, `{\"code\":{}`)} {
		f.Add([]byte(body), []byte(`7`))
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1e1,"result":{}}`), []byte(`10`))
	f.Fuzz(func(t *testing.T, body, id []byte) {
		answer, fault := wire.ParseAnswer(body)
		if fault != nil {
			return
		}
		class := Judge(&answer, id)
		if Answers(&answer, id) && class == Unrelated {
			t.Errorf("an answer that the caller can match is unrelated: %s", body)
		}
	})
}
