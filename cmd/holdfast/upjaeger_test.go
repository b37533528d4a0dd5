package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

func TestWhereTracesGo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		variables   map[string]string
		query, otlp string
		own         bool
		err         string
	}{
		"nothing said":          {own: true},
		"off":                   {variables: map[string]string{jaegerVariable: "off"}},
		"one that runs":         {variables: map[string]string{jaegerVariable: "http://127.0.0.1:26686"}, query: "http://127.0.0.1:26686", otlp: "127.0.0.1:4317"},
		"by name":               {variables: map[string]string{jaegerVariable: "http://localhost:26686"}, query: "http://localhost:26686", otlp: "127.0.0.1:4317"},
		"with its receiver":     {variables: map[string]string{jaegerVariable: "https://127.0.0.1/jaeger", otlpVariable: "http://127.0.0.1:5317"}, query: "https://127.0.0.1/jaeger", otlp: "127.0.0.1:5317"},
		"its receiver alone":    {variables: map[string]string{otlpVariable: "http://127.0.0.1:5317"}, own: true},
		"no URL":                {variables: map[string]string{jaegerVariable: "127.0.0.1:16686"}, err: "is not the URL of a Jaeger"},
		"on":                    {variables: map[string]string{jaegerVariable: "on"}, err: "is not the URL of a Jaeger"},
		"a receiver with TLS":   {variables: map[string]string{jaegerVariable: "http://127.0.0.1:1", otlpVariable: "https://127.0.0.1:5317"}, err: "without TLS"},
		"a receiver of no port": {variables: map[string]string{jaegerVariable: "http://127.0.0.1:1", otlpVariable: "http://127.0.0.1"}, err: "http://host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := testEnvironment("", &bytes.Buffer{}, &bytes.Buffer{}, test.variables)
			got, err := env.tracing(t.Context(), func(string) {})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%+v, %v; want an error that says %q", got, err, test.err)
				}
				return
			}
			if err != nil || got.Query != test.query || got.OTLP != test.otlp || (got.Find != nil) != test.own {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestWhereTracesAre: the welcome says where traces are, or why there are none.
func TestWhereTracesAre(t *testing.T) {
	t.Parallel()
	own := &stack.TracingInfo{Query: "http://127.0.0.1:16686", Own: true}
	for want, got := range map[string]string{
		"none: HOLDFAST_JAEGER is off":                 tracesLine(testEnvironment("", nil, nil, nil), stack.JaegerNone, nil),
		"http://10.0.0.1:16686":                        tracesLine(testEnvironment("", nil, nil, nil), stack.JaegerNone, &stack.TracingInfo{Query: "http://10.0.0.1:16686"}),
		"as soon as Jaeger is up, which is said below": tracesLine(testEnvironment("", nil, nil, nil), stack.JaegerComing, own),
		"none: see above":                              tracesLine(testEnvironment("", nil, nil, nil), stack.JaegerFailed, own),
		"for its web page see HOLDFAST_JAEGER_BIN":     tracesLine(testEnvironment("", nil, nil, nil), stack.JaegerUp, own),
		"http://127.0.0.1:16686":                       tracesLine(testEnvironment("", nil, nil, map[string]string{jaegerBinVariable: "/opt/jaeger"}), stack.JaegerUp, own),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

// TestBesideSaysOneLine: a build that fails has many lines to say, and one is shown.
func TestBesideSaysOneLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	show := newScreen(testEnvironment("", &out, &out, nil))
	show.report(stack.Step{Name: stack.StepJaeger, Beside: true, Done: true, Err: &usageError{errorLines{}}})
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "! no Jaeger, so nobody keeps traces: first second") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

type errorLines struct{}

func (errorLines) Error() string { return "first\nsecond\x1b[2J" + strings.Repeat("x", 5000) }
