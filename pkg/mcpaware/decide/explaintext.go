package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

// String renders the Explanation as lines of text.
func (e Explanation) String() string {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", label, fmt.Sprintf(format, args...))
	}
	line("request", "%s %s", e.Verb, e.Path)
	if e.Policy != "" {
		line("policy", "%s", e.Policy)
	}
	if e.Kind != "" {
		line("message", "%s", strings.TrimSpace(e.Kind+" "+e.Method+" "+e.Tool))
	}
	if e.Revision != "" {
		line("revision", "%s", e.Revision)
	}
	if e.Refused != nil {
		line("refused", "%s", answerText(e.Refused))
		return b.String()
	}
	line("rule", "%s: %s", e.Rule, e.Why)
	for _, miss := range e.Misses {
		line("", "not %s: %s", miss.Rule, miss.Why)
	}
	if e.MoreMisses > 0 {
		line("", "and %d more rules before it do not match", e.MoreMisses)
	}
	line("server", "%s (Envoy route %s)", e.Server, e.Route)
	if e.Successor != "" {
		line("successor", "%s", e.Successor)
	}
	if e.Regions != "" {
		line("regions", "%s", e.Regions)
	}
	for _, answer := range e.Answers {
		line("counts as", "%s", answer)
	}
	for i, session := range e.Sessions {
		label := ""
		if i == 0 {
			label = "sessions"
		}
		line(label, "%s", session)
	}
	line("retries", "%s", e.retries())
	for _, more := range e.retryDetails() {
		line("", "%s", more)
	}
	line("timeout", "%s", e.timeouts())
	line("limits", "body at most %s", sizeText(e.MaxBodyBytes))
	if e.Unread {
		line("large bodies", "above %s they go on unread and are sent once, while every endpoint is found to compare headers with bodies", sizeText(LargeBody))
	}
	for _, limit := range e.Limits {
		line("", "%s", limit)
	}
	for _, rate := range e.Rates {
		line("", "%s", rate)
	}
	if e.Callers != "" {
		line("callers", "%s", e.Callers)
	}
	if e.Fallback != "" {
		line("fallback", "%s", e.Fallback)
	}
	for i, standIn := range e.StandIns {
		label := ""
		if i == 0 {
			label = "stand-ins"
		}
		line(label, "%d. %s", i+1, standIn)
	}
	if e.Rank != "" {
		line("priority", "%s", e.Rank)
	}
	if e.StaleListMaxAge > 0 {
		line("remembered", "the last good answer is served for %v when the server is down", e.StaleListMaxAge)
	}
	line("if all down", "HTTP %d: %s", e.Degraded.Status, e.DegradedText)
	return b.String()
}

func sizeText(n uint32) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func limitText(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}

func answerText(a *degrade.Answer) string {
	return fmt.Sprintf("HTTP %d %s", a.Status, a.Body)
}
