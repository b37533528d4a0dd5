package trace

import (
	"strings"
	"testing"

	oteltrace "go.opentelemetry.io/otel/trace"
)

func TestParseParent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text    string
		ok      bool
		sampled bool
	}{
		"sampled":           {parentText, true, true},
		"not sampled":       {parentText[:53] + "00", true, false},
		"another flag":      {parentText[:53] + "03", true, true},
		"flags unknown":     {parentText[:53] + "fe", true, false},
		"empty":             {},
		"another version":   {text: "01" + parentText[2:]},
		"the invalid one":   {text: "ff" + parentText[2:]},
		"longer":            {text: parentText + "-x"},
		"upper case":        {text: strings.ToUpper(parentText)},
		"no trace":          {text: "00-" + strings.Repeat("0", 32) + parentText[35:]},
		"no span":           {text: parentText[:36] + strings.Repeat("0", 16) + "-01"},
		"other separators":  {text: strings.ReplaceAll(parentText, "-", "_")},
		"no digits":         {text: parentText[:53] + "0g"},
		"as long but bytes": {text: strings.Repeat("\xff", parentLength)},
	} {
		got, ok := ParseParent(test.text)
		if ok != test.ok || got.IsSampled() != test.sampled {
			t.Errorf("%s: %v, sampled %v", name, ok, got.IsSampled())
		}
	}
}

// FuzzParseParent: what is taken for a context is written as it was read, and never panics.
func FuzzParseParent(f *testing.F) {
	for _, seed := range []string{parentText, otherText, "", "00-", strings.Repeat("0", parentLength)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseParent(text)
		if !ok {
			return
		}
		if again := Parent(got, got.IsSampled()); again[:52] != text[:52] || len(again) != parentLength {
			t.Errorf("%q is written as %q", text, again)
		}
	})
}

// TestRoots: a span without a parent is the first of the trace that is known already, or of a new one.
func TestRoots(t *testing.T) {
	t.Parallel()
	p := NewTo(&exporter{}, Source{}, nil, nil)
	defer closeIt(t, p)
	known := parentOf(t, parentText).TraceID()
	root := p.Start(WithRoot(t.Context(), known), "s")
	if got := root.SpanContext(); got.TraceID() != known || !got.SpanID().IsValid() || !got.IsSampled() {
		t.Errorf("%v", got)
	}
	seen := map[oteltrace.TraceID]bool{}
	for _, ctx := range []oteltrace.TraceID{{}, {}} {
		id := p.Start(WithRoot(t.Context(), ctx), "s").SpanContext().TraceID()
		if !id.IsValid() || seen[id] {
			t.Errorf("trace %s", id)
		}
		seen[id] = true
	}
	child := p.Start(oteltrace.ContextWithRemoteSpanContext(WithRoot(t.Context(), known), parentOf(t, otherText)), "s")
	if child.SpanContext().TraceID() != parentOf(t, otherText).TraceID() {
		t.Error("a parent counts for more than a root")
	}
}
