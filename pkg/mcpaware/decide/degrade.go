package decide

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Bounds on what stands in for answers.
const (
	minCachedAge     = time.Second
	maxCachedAge     = 31 * 24 * time.Hour
	maxVary          = 16
	maxStaticContent = 64 << 10
)

// Degrade is what stands in for the answers to calls of a tool rule; nil where nothing does.
func (r *Route) Degrade(rule string) *policyv1.Degrade { return r.degrades[rule] }

// Cached is how the results of the call are remembered; nil where they are not.
func (d *Decision) Cached() *policyv1.CachedResult {
	if d.Call.GetCache() == nil {
		return nil
	}
	return d.Route.Degrade(d.Rule).GetCachedResult()
}

// Static is the operator's answer to the call for when there is no other; nil where there is none.
func (d *Decision) Static() *policyv1.StaticAnswer {
	if d.Call.GetMethod() != method.ToolsCall || d.Rule == RuleBatch {
		return nil
	}
	return d.Route.Degrade(d.Rule).GetStaticAnswer()
}

// WithoutFallback keeps the call with its own server.
func (d *Decision) WithoutFallback() {
	if d.Call.GetSecond() == nil || d.onlySecond {
		return
	}
	d.Call.Second = nil
	d.stampRoute(d.Action.GetRoute())
}

func (c *compiler) degrade(field string, r *policyv1.ToolRule) *policyv1.Degrade {
	d := r.GetDegrade()
	if d == nil {
		return nil
	}
	if cached := d.GetCachedResult(); cached != nil {
		at := field + ".degrade.cached_result"
		if age := c.duration(at+".max_age", cached.GetMaxAge()); age < minCachedAge || age > maxCachedAge {
			c.problem(at+".max_age", "%v is not within %v to %v", age, minCachedAge, maxCachedAge)
		}
		if !r.GetAction().GetSafe() {
			c.problem(at, "the action of the rule is not safe: its caller would believe that the call was carried out")
		}
		if len(cached.GetVary()) > maxVary {
			c.problem(at+".vary", "has %d entries, at most %d are taken", len(cached.GetVary()), maxVary)
		}
		for i, name := range cached.GetVary() {
			if !headerValue(name) || name != strings.ToLower(name) {
				c.problem(fmt.Sprintf("%s.vary[%d]", at, i), "%q is not the name of a header in lower case", name)
			}
		}
	}
	if static := d.GetStaticAnswer(); static != nil {
		at := field + ".degrade.static_answer"
		content := jsontext.Value(static.GetStructuredContent())
		switch {
		case len(content) > maxStaticContent || len(static.GetText()) > maxStaticContent:
			c.problem(at, "is larger than %d bytes", maxStaticContent)
		case len(content) == 0 && static.GetText() == "":
			c.problem(at, "says nothing")
		case len(content) > 0 && (!wire.Valid(content) || content.Kind() != '{'):
			c.problem(at+".structured_content", "is not a JSON object")
		}
	}
	return d
}

// explainDegraded says, a line each, what the caller gets when the server cannot answer.
func (d *Decision) explainDegraded() []string {
	var lines []string
	if text := d.explainFallback(); text != "" && d.Call.GetSecond() != nil {
		lines = append(lines, text)
	}
	if cached := d.Route.Degrade(d.Rule).GetCachedResult(); cached != nil && d.Rule != RuleBatch {
		lines = append(lines, d.explainCached(cached))
		if cached.GetBeforeFallback() && len(lines) > 1 {
			lines[0], lines[1] = lines[1], lines[0]
		}
	}
	if static := d.Static(); static != nil {
		text := "the operator's own answer"
		if static.GetIsError() {
			text += ", an error"
		}
		if !d.Call.GetSafe() {
			text += ", where the call has provably not been carried out"
		}
		lines = append(lines, text+": "+staticText(static))
	}
	return lines
}

func (d *Decision) explainCached(cached *policyv1.CachedResult) string {
	if d.Call.GetCache() == nil {
		return "no remembered result: " + d.uncached
	}
	whose := "that this caller was given"
	if cached.GetShared() {
		whose = "that any caller was given"
	}
	text := fmt.Sprintf("a result %s for these arguments, at most %v old", whose, cached.GetMaxAge().AsDuration())
	if len(cached.GetVary()) > 0 {
		text += ", with the same " + strings.Join(cached.GetVary(), ", ")
	}
	return text
}

func staticText(s *policyv1.StaticAnswer) string {
	text := s.GetText()
	if text == "" {
		text = string(s.GetStructuredContent())
	}
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
