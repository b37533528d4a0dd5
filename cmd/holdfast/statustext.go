package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

// maxRows of a table before only those rows stay that somebody has to look at.
const maxRows = 30

// statusView is a status as people read it, what is wrong first.
type statusView struct {
	status *adminv1.StatusResponse
	// now is what ages are counted to.
	now   time.Time
	color painter
	// all rows of long tables.
	all bool
	// numbers of revisions by version, as far as they are known.
	numbers map[string]uint64
	// unasked: why Envoys could not be asked for the health of endpoints.
	unasked []string

	out strings.Builder
}

func (v *statusView) line(format string, args ...any) { fmt.Fprintf(&v.out, format+"\n", args...) }

// text gives the whole screen.
func (v *statusView) text() string {
	v.problems()
	v.revision()
	v.heldBreakers()
	v.drains()
	v.nodes()
	v.servers()
	v.measured()
	v.routes()
	return strings.TrimRight(v.out.String(), "\n") + "\n"
}

// problem is one thing that is wrong, with somebody's own words about it.
func (v *statusView) problem(words, format string, args ...any) {
	v.line("%s", v.color.paint(red, "! "+fmt.Sprintf(format, args...)))
	if words = strings.TrimSpace(words); words != "" {
		v.line("%s", indent(printable(words), "    "))
	}
}

func (v *statusView) problems() {
	s := v.status
	before := v.out.Len()
	if !s.GetReady() {
		v.problem("", "There is no configuration yet: %s", oneLine(s.GetReason()))
	}
	if r := s.GetRefused(); r.GetStanding() {
		v.problem(r.GetError(), "The directory holds a configuration that cannot be used, for %s now. What was valid before stays in force.", v.ago(r.GetAt().AsTime()))
	}
	told := map[string]bool{}
	for _, n := range s.GetNodes() {
		if nack := n.GetNack(); nack.GetStanding() {
			told[n.GetId()] = true
			v.problem(nack.GetDetail(), "%s refuses %s, for %s now. Its words:", oneLine(n.GetId()),
				v.what(nack.GetType(), nack.GetRevision()), v.ago(nack.GetAt().AsTime()))
		}
	}
	if r := s.GetRejected(); r != nil && !told[r.GetNode()] {
		back := ""
		if r.GetTakenBack() {
			back = " It was taken back everywhere."
		}
		v.problem(r.GetDetail(), "%s refused %s, %s ago.%s Its words:", oneLine(r.GetNode()),
			v.what(r.GetType(), r.GetVersion()), v.ago(r.GetAt().AsTime()), back)
	}
	for _, n := range s.GetNodes() {
		if n.GetSync() == apiclient.SyncSilent {
			v.problem("", "%s has not answered what it was sent, for %s.", oneLine(n.GetId()), v.ago(n.GetSilentSince().AsTime()))
		}
	}
	for _, text := range s.GetProblems() {
		v.problem("", "%s", oneLine(text))
	}
	for _, text := range s.GetWarnings() {
		v.problem("", "warning: %s", oneLine(text))
	}
	endpoints := sick(s)
	if more := len(endpoints) - maxRows; more > 0 && !v.all {
		endpoints = append(endpoints[:maxRows], fmt.Sprintf("… and %s more; --all shows them.", counted(more, "endpoint")))
	}
	for _, text := range endpoints {
		v.problem("", "%s", text)
	}
	v.broken()
	if v.out.Len() > before {
		v.line("")
	}
}

// sick lists endpoints that an Envoy does not use because of their health.
func sick(s *adminv1.StatusResponse) []string {
	var out []string
	for _, server := range s.GetServers() {
		for _, region := range server.GetRegions() {
			for _, e := range region.GetEndpoints() {
				if unhealthy(e) {
					out = append(out, fmt.Sprintf("%s in %s: %s is %s.", oneLine(server.GetName()), oneLine(region.GetName()), oneLine(e.GetName()), healthNamed(e)))
				}
			}
		}
	}
	return out
}

// what is refused: a type of resources, a revision, or the one of the other, as far
// as they are known.
func (v *statusView) what(kind, version string) string {
	return refusedThing(kind, version, v.revisionName)
}

func refusedThing(kind, version string, name func(string) string) string {
	switch {
	case kind != "" && version != "":
		return oneLine(kind) + " of " + name(version)
	case version != "":
		return name(version)
	case kind != "":
		return oneLine(kind)
	default:
		return "what it was sent"
	}
}

// revisionName is the number of a version where that is known.
func (v *statusView) revisionName(version string) string {
	if number := v.number(version); number > 0 {
		return fmt.Sprintf("revision %d", number)
	}
	return revisionName(v.status, version)
}

// number is that of a version, 0 where it is not known.
func (v *statusView) number(version string) uint64 {
	if number := numberOf(v.status, version); number > 0 {
		return number
	}
	return v.numbers[version]
}

// numberOf is what a status knows of the number of a version: of the newest revision, and of the one that goes out.
func numberOf(s *adminv1.StatusResponse, version string) uint64 {
	switch {
	case version == "":
		return 0
	case s.GetRevision().GetVersion() == version:
		return s.GetRevision().GetNumber()
	case s.GetRollout().GetVersion() == version:
		return s.GetRollout().GetNumber()
	default:
		return 0
	}
}

// revisionName is the number of a version where the status says it.
func revisionName(s *adminv1.StatusResponse, version string) string {
	if number := numberOf(s, version); number > 0 {
		return fmt.Sprintf("revision %d", number)
	}
	return "version " + short(version)
}

func (v *statusView) ago(then time.Time) string { return ago(v.now, then) }

func (v *statusView) revision() {
	s := v.status
	r, rollout := s.GetRevision(), s.GetRollout()
	if r == nil {
		return
	}
	v.line("%s", cut(headlineAged(r, v.now), maxLine))
	if rollout != nil {
		v.line("Rollout of version %s: %s", short(rollout.GetVersion()), v.rollout(rollout))
	}
	if pinned := s.GetPinned(); len(pinned) > 0 {
		names := make([]string, 0, len(pinned))
		for _, ref := range pinned {
			names = append(names, oneLine(ref.GetKind()+"/"+ref.GetName()))
		}
		v.line("Pinned by a rollback until their files change: %s", listed(names))
	}
	v.line("")
}

func (v *statusView) rollout(r *adminv1.Rollout) string {
	text := oneLine(r.GetPhase())
	if newest := v.status.GetRevision(); r.GetVersion() != newest.GetVersion() && r.GetNumber() != newest.GetNumber() {
		text += ", of " + v.revisionName(r.GetVersion())
	}
	text += ", for " + v.ago(r.GetSince().AsTime())
	if next := r.GetNext(); next != "" {
		text += "; next is " + v.revisionName(next) + ", which waits for a safe point"
	}
	if canaries := r.GetCanaries(); len(canaries) > 0 && r.GetPhase() != apiclient.PhaseDone {
		text += "; first to " + oneLine(listed(canaries))
	}
	if held := r.GetHeldBy(); len(held) > 0 {
		text += "; held by " + oneLine(listed(held)) + ", for whose sake the processors wait"
	}
	return text
}

func (v *statusView) nodes() {
	nodes := v.status.GetNodes()
	if len(nodes) == 0 {
		v.line("No Envoy and no processor is connected.\n")
		return
	}
	t := newTable("NODE", "KIND", "REGION", "STATE", "REVISION", "LAST ACK", "CONNECTED")
	hidden := 0
	for _, n := range nodes {
		if len(nodes) > maxRows && !v.all && n.GetSync() == apiclient.SyncSynced && !n.GetLate() {
			hidden++
			continue
		}
		t.row(n.GetId(), n.GetKind(), n.GetRegion(), v.state(n), v.shown(n), acknowledged(n.GetTypes()), v.ago(n.GetConnectedSince().AsTime()))
	}
	v.write(t, hidden, "node", "in sync")
}

// write ends a table, of which rows may have been left out.
func (v *statusView) write(t *table, hidden int, what, how string) {
	if len(t.rows) > 1 {
		t.write(&v.out)
	}
	if hidden > 0 {
		more := ""
		if len(t.rows) > 1 {
			more = "more "
		}
		v.line("%s %s; --all shows them.", counted(hidden, more+what), how)
	}
	v.line("")
}

func (v *statusView) state(n *adminv1.Node) string {
	state := n.GetSync()
	switch {
	case n.GetSync() == apiclient.SyncSilent && n.GetSilentSince() != nil:
		state = "silent for " + v.ago(n.GetSilentSince().AsTime())
	case n.GetSync() == apiclient.SyncRejected && n.GetNack() != nil:
		state = "rejected, for " + v.ago(n.GetNack().GetAt().AsTime())
	}
	if n.GetLate() {
		state += ", late"
	}
	return state
}

// shown is the revision that a node is shown, the newest one by its number; processors
// are shown the active policies.
func (v *statusView) shown(n *adminv1.Node) string {
	versions := n.GetRevisions()
	if len(versions) == 0 && n.GetKind() != apiclient.KindEnvoy {
		versions = []string{v.status.GetRollout().GetActive()}
	}
	names := make([]string, 0, len(versions))
	for _, version := range versions {
		if number := v.number(version); number > 0 {
			names = append(names, fmt.Sprint(number))
		} else {
			names = append(names, short(version))
		}
	}
	return strings.Join(names, " + ")
}

// typeWords are the types in the order that they are acknowledged, as Envoy's users call them.
var typeWords = [][2]string{
	{"clusters", "CDS"}, {"endpoints", "EDS"}, {"listeners", "LDS"}, {"routes", "RDS"}, {"policies", "policies"}, {"catalog", "catalog"},
}

// acknowledged lists the versions by type, such as "CDS 1f3a9c RDS 99ab01"; "…" has
// not been answered yet.
func acknowledged(types map[string]*adminv1.NodeType) string {
	const shown = 6
	var parts []string
	for _, word := range typeWords {
		if t := types[word[0]]; t != nil {
			acked := t.GetAcked()
			text := word[1] + " " + dash(acked[:min(shown, len(acked))])
			if t.GetPending() {
				text += "…"
			}
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " ")
}

func (v *statusView) servers() {
	servers := v.status.GetServers()
	if len(servers) == 0 {
		return
	}
	rows := 0
	asked := map[string]bool{}
	for _, e := range endpointsOf(servers) {
		rows++
		for _, h := range e.GetHealth() {
			asked[h.GetNode()] = true
		}
	}
	heading := "HEALTH"
	if len(asked) > 0 {
		heading += " SEEN BY " + oneLine(listed(slices.Sorted(maps.Keys(asked))))
	}
	t := newTable("SERVER", "REGION", "ENDPOINT", "ADDRESS", heading)
	hidden := 0
	for _, server := range servers {
		for _, region := range server.GetRegions() {
			for _, e := range region.GetEndpoints() {
				if rows > maxRows && !v.all && !unhealthy(e) {
					hidden++
					continue
				}
				t.row(server.GetName(), region.GetName(), e.GetName(), e.GetAddress(), healthOf(e))
			}
		}
	}
	how := "of " + counted(len(servers), "server")
	if len(asked) > 0 {
		how += ", not found unhealthy"
	}
	v.write(t, hidden, "endpoint", how)
	for _, why := range v.unasked {
		v.line("Health is not known of every Envoy: %s.\n", oneLine(why))
	}
}

func (v *statusView) routes() {
	routes := v.status.GetRoutes()
	switch {
	case len(routes) == 0:
		return
	case len(routes) > maxRows && !v.all:
		v.line("%s; --all shows them.", counted(len(routes), "route"))
		return
	}
	t := newTable("ROUTE", "PATH", "SERVERS", "TOOL RULES")
	for _, r := range routes {
		t.row(r.GetName(), r.GetPath(), listed(r.GetServers()), fmt.Sprint(r.GetToolRules()))
	}
	t.write(&v.out)
}
