package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

// news says what is not as it was when news was last asked for, a line each.
func (w *watcher) news() []string {
	var out []string
	now := w.facts()
	for _, f := range now {
		if w.said[f.about] != f.text {
			out = append(out, f.text)
		}
	}
	seen := map[string]string{}
	for _, f := range now {
		seen[f.about] = f.text
	}
	for _, about := range slices.Sorted(maps.Keys(w.said)) {
		if _, still := seen[about]; still {
			continue
		}
		if text := farewell(about); text != "" {
			out = append(out, text)
		}
	}
	w.said = seen
	return out
}

// fact is how one thing stands, in words that change only when it does.
type fact struct{ about, text string }

// What facts are about, but for nodes and endpoints.
const (
	aboutPlane    = "plane"
	aboutRefused  = "refused"
	aboutRejected = "rejected"
	aboutNode     = "node "
	aboutBreaker  = "breaker "
	aboutDrain    = "drain "
)

// farewell says that something is no more; nothing where that is no news.
func farewell(about string) string {
	switch {
	case about == aboutPlane:
		return "the control plane is well again"
	case about == aboutRefused:
		return "the directory's configuration is valid again"
	case len(about) > len(aboutNode) && about[:len(aboutNode)] == aboutNode:
		return about[len(aboutNode):] + ": disconnected"
	case strings.HasPrefix(about, aboutDrain):
		return strings.TrimPrefix(about, aboutDrain) + ": in service again"
	case strings.HasPrefix(about, aboutBreaker):
		return strings.TrimPrefix(about, aboutBreaker) + ": calls go there again"
	default:
		return ""
	}
}

func (w *watcher) facts() []fact {
	s := w.status
	var out []fact
	add := func(about, format string, args ...any) {
		out = append(out, fact{about, oneLine(fmt.Sprintf(format, args...))})
	}
	if r := s.GetRevision(); r != nil {
		text := headline(r)
		if changes := changesShort(r.GetChanges()); changes != "" {
			text += " (" + changes + ")"
		}
		add("revision", "%s", text)
	}
	if r := s.GetRollout(); r != nil {
		add("rollout", "rollout of %s: %s", revisionName(s, r.GetVersion()), r.GetPhase())
	}
	switch {
	case w.trouble != "":
		add(aboutPlane, "the control plane %s", w.trouble)
	case !s.GetReady():
		add(aboutPlane, "the control plane is not ready: %s", s.GetReason())
	}
	if r := s.GetRefused(); r.GetStanding() {
		add(aboutRefused, "the directory's configuration is refused: %s", r.GetError())
	}
	if r := s.GetRejected(); r != nil {
		name := func(version string) string { return revisionName(s, version) }
		add(aboutRejected, "%s refused %s: %s", r.GetNode(), refusedThing(r.GetType(), r.GetVersion(), name), r.GetDetail())
	}
	for i, text := range s.GetProblems() {
		add(fmt.Sprint("problem ", i), "problem: %s", text)
	}
	for i, text := range s.GetWarnings() {
		add(fmt.Sprint("warning ", i), "warning: %s", text)
	}
	for _, n := range s.GetNodes() {
		text := n.GetSync()
		if nack := n.GetNack(); nack.GetStanding() {
			text += " " + nack.GetType() + ": " + nack.GetDetail()
		}
		add(aboutNode+oneLine(n.GetId()), "%s: %s", n.GetId(), text)
	}
	out = append(append(out, breakerFacts(s)...), drainFacts(s)...)
	return append(out, healthFacts(s)...)
}

func healthFacts(s *adminv1.StatusResponse) []fact {
	var out []fact
	for _, server := range s.GetServers() {
		for _, region := range server.GetRegions() {
			for _, e := range region.GetEndpoints() {
				// Not to know one yet is no news: that is asked after less often than it changes.
				if health := healthOf(e); len(e.GetHealth()) == 0 || health == envoyadmin.Unknown {
					continue
				}
				name := oneLine(fmt.Sprintf("%s in %s: %s", server.GetName(), region.GetName(), e.GetName()))
				out = append(out, fact{"endpoint " + name, name + " is " + healthOf(e)})
			}
		}
	}
	return out
}
