package config

import (
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Bounds on what stands in for answers.
const (
	minCachedAge     = Duration(time.Second)
	maxCachedAge     = Duration(7 * 24 * time.Hour)
	maxVary          = 8
	maxStaticText    = 4096
	maxVaryNameBytes = 64
)

func (d *ToolDegrade) applyDefaults() {
	if d.CachedResult != nil {
		setDefault(&d.CachedResult.Warn, On)
	}
}

func checkDegradeValues(doc *document, path string, d ToolDegrade) {
	if c := d.CachedResult; c != nil {
		at := path + ".cachedResult"
		rangeAt(doc, at+".maxAge", c.MaxAge, minCachedAge, maxCachedAge)
		checkVary(doc, at+".vary", c.Vary)
	}
	s := d.StaticAnswer
	if s == nil {
		return
	}
	at := path + ".staticAnswer"
	doc.textAt(at+".text", s.Text, badStaticText)
	if doc.clean(at) && s.Text == "" && s.StructuredContent == nil {
		doc.report(at, "write a text, or structuredContent", "says nothing")
	}
	if s.StructuredContent != nil && doc.clean(at+".structuredContent") && !strings.HasPrefix(s.StructuredContent.JSON, "{") {
		doc.report(at+".structuredContent", "", "want a mapping: older revisions know no other structured content")
	}
}

func badStaticText(s string) (problem, hint string) {
	if len(s) > maxStaticText {
		return "has more than 4096 bytes", ""
	}
	return "", ""
}

func checkVary(doc *document, path string, headers []string) {
	doc.countAt(path, len(headers), 1, maxVary)
	used := firsts{}
	for i, name := range headers {
		at := item(path, i)
		doc.textAt(at, name, badVary)
		if !doc.clean(at) {
			continue
		}
		if first, taken := used.claim(strings.ToLower(name), doc.where(at)); taken {
			doc.report(at, "", "%s is in the list already, on line %d", quote(name), first.Line)
		}
	}
}

// callerHeaders tell callers apart in any case.
func callerHeaders() []string { return []string{"authorization", "cookie", "x-api-key"} }

func badVary(s string) (problem, hint string) {
	lower := strings.ToLower(s)
	switch {
	case s == "":
		return "is empty", ""
	case len(s) > maxVaryNameBytes:
		return "has more than 64 bytes", ""
	case strings.ContainsAny(s, " \t:") || textproto.TrimString(s) != s || !printable(s):
		return quote(s) + " is not the name of a header", ""
	case strings.HasPrefix(lower, "x-holdfast-"), strings.HasPrefix(lower, "x-envoy-"), strings.HasPrefix(lower, "mcp-"):
		return quote(s) + " is not a header that tools know", ""
	case slices.Contains(callerHeaders(), lower):
		return quote(s) + " tells callers apart already", "without shared, each caller gets its own results"
	}
	return "", ""
}

// checkDegrade finds what would never be given, or must not be.
func checkDegrade(r loaded[MCPRoute], path string, rule ToolRule) {
	c := rule.Degrade.CachedResult
	at := path + ".degrade.cachedResult"
	if c == nil || !r.clean(at) {
		return
	}
	if !rule.Safe && r.clean(path+".safe") {
		r.report(at, "write safe: true, if the tool may run twice", "a remembered result cannot stand in for a tool that is not safe: its caller would believe that the call was carried out")
	}
	if c.BeforeFallback && rule.Fallback == nil && r.clean(path+".fallback") {
		r.report(at+".beforeFallback", "", "the rule has no fallback")
	}
}
