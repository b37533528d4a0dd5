package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// shownActions are the last ones that a status shows.
const shownActions = 10

// tierSteady is the tier of an endpoint that is as it should be.
const tierSteady = "steady"

// measured shows what the control plane measures of the one server that was asked for.
func (v *statusView) measured() {
	h := v.status.GetHealth()
	if h == nil {
		return
	}
	for _, r := range h.GetRegions() {
		v.line("%s", v.regionLine(r))
	}
	v.line("")
	t := newTable("ENDPOINT", "SCORE", "RESPONSE TIME", "ERROR RATE", "RESOURCES", "STALENESS", "TIER", "LAYER", "GETS", "CALLS IN A MINUTE")
	for _, r := range h.GetRegions() {
		for _, e := range r.GetEndpoints() {
			cells := []string{e.GetName(), fmt.Sprintf("%.0f", e.GetScore())}
			for _, p := range e.GetParts() {
				cells = append(cells, partText(p))
			}
			t.row(append(cells, v.sinceText(e.GetTier(), e.GetTierSince()), v.sinceText(e.GetLayer(), e.GetLayerSince()), givenText(e), callsText(e))...)
		}
	}
	t.write(&v.out)
	v.line("")
	v.layers(h)
	v.actions(h)
	v.incidents(h.GetIncidents())
	if r := h.GetReport(); r != nil {
		v.line("%s: %s\n", oneLine(r.GetMonth()), reportLine(r))
	}
}

func (v *statusView) regionLine(r *adminv1.RegionHealth) string {
	text := oneLine(r.GetName()) + ": "
	switch {
	case r.GetAway() > 0:
		text += v.color.paint(red, fmt.Sprintf("%d%% of callers go to another region: %s", r.GetAway(), oneLine(r.GetWhy())))
	case r.GetHeldSince() != nil:
		text += v.color.paint(red, fmt.Sprintf("callers stay away, since %s, until somebody says 'holdfast failback %s': %s",
			v.ago(r.GetHeldSince().AsTime()), oneLine(v.status.GetHealth().GetServer()), oneLine(r.GetHeldWhy())))
	default:
		text += "all its callers are there"
	}
	if r.GetCalls() > 0 {
		text += fmt.Sprintf("; %d calls in 5 s, p95 %s", r.GetCalls(), timeText(r.GetP95Seconds()))
		if r.GetUsualP95Seconds() > 0 {
			text += ", usually " + timeText(r.GetUsualP95Seconds())
		}
	}
	if tools := r.GetFailingTools(); len(tools) > 0 {
		text += fmt.Sprintf("; in the last minute calls of %s failed, for at least %s", oneLine(listed(tools)), counted(int(r.GetHurtAgents()), "caller"))
	}
	return text
}

// partText is a part's score and what it counts for.
func partText(p *adminv1.ScorePart) string {
	if p.GetMissing() {
		return "missing"
	}
	return fmt.Sprintf("%.0f (%.0f%%)", p.GetValue(), p.GetWeight())
}

func (v *statusView) sinceText(what string, since *timestamppb.Timestamp) string {
	if what == "" || since == nil || what == tierSteady {
		return what
	}
	return what + ", " + v.ago(since.AsTime())
}

func givenText(e *adminv1.MeasuredEndpoint) string {
	switch e.GetGiven() {
	case "unhealthy":
		return "nothing"
	case "degraded":
		return "what no other takes"
	default:
		if e.GetWeight() < 100 {
			return fmt.Sprintf("%d%% of its calls", e.GetWeight())
		}
		return "its calls"
	}
}

func callsText(e *adminv1.MeasuredEndpoint) string {
	total := e.GetGood() + e.GetFailed()
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%d, %d failed, p95 %s", total, e.GetFailed(), timeText(e.GetP95Seconds()))
}

func timeText(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

// layers has a line for each endpoint, and one for each word about what is wrong.
func (v *statusView) layers(h *adminv1.GetHealthResponse) {
	any := false
	for _, r := range h.GetRegions() {
		for _, e := range r.GetEndpoints() {
			var words []string
			for _, l := range e.GetLayers() {
				word := l.GetName() + " " + l.GetOutcome()
				if l.GetOutcome() == "good" {
					word += " " + timeText(l.GetTookSeconds())
				}
				words = append(words, word)
			}
			if len(words) == 0 {
				continue
			}
			any = true
			v.line("Probes of %s: %s", oneLine(e.GetName()), oneLine(strings.Join(words, ", ")))
			if e.GetDetail() != "" {
				v.line("%s", v.color.paint(red, "    "+oneLine(e.GetLayer()+": "+e.GetDetail())))
			}
		}
	}
	if any {
		v.line("")
	}
}

func (v *statusView) actions(h *adminv1.GetHealthResponse) {
	acts := h.GetActions()
	if len(acts) == 0 {
		return
	}
	t := newTable("WHEN", "REGION", "BY", "WHAT WAS DONE")
	for _, a := range slices.Backward(acts[max(0, len(acts)-shownActions):]) {
		t.row(v.ago(a.GetAt().AsTime())+" ago", a.GetAbout(), a.GetBy(), cut(oneLine(a.GetWhat()), maxLine))
	}
	t.write(&v.out)
	v.line("")
}

func (v *statusView) incidents(all []*adminv1.Incident) {
	for _, i := range all {
		v.line("%s", v.color.paint(red, "Incident "+incidentLine(i, v.now)))
	}
	if len(all) > 0 {
		v.line("")
	}
}

// incidentLine says what is known of an incident.
func incidentLine(i *adminv1.Incident, now time.Time) string {
	began := i.GetBegan().AsTime()
	text := fmt.Sprintf("%d in %s: %s", i.GetId(), i.GetRegion(), i.GetLayer())
	if i.GetDetail() != "" {
		text += " (" + i.GetDetail() + ")"
	}
	after := func(t *timestamppb.Timestamp) string { return t.AsTime().Sub(began).Round(time.Second).String() }
	text += fmt.Sprintf(", began %s ago, detected after %s", ago(now, began), after(i.GetDetected()))
	for _, step := range []struct {
		word string
		at   *timestamppb.Timestamp
	}{{"calls went elsewhere", i.GetMitigated()}, {"somebody was needed", i.GetEscalated()}, {"over", i.GetRecovered()}} {
		if step.at != nil {
			text += fmt.Sprintf(", %s after %s", step.word, after(step.at))
		}
	}
	if n := i.GetAgents(); n > 0 {
		text += fmt.Sprintf("; at least %s, tools %s", counted(int(n), "caller"), listed(i.GetTools()))
	}
	return oneLine(text)
}

// reportLine is a month in one line.
func reportLine(r *adminv1.MonthReport) string {
	total := r.GetAnswered() + r.GetDegraded() + r.GetFailed()
	if total == 0 && r.GetIncidents() == 0 {
		return "no calls and no incidents"
	}
	text := fmt.Sprintf("%s of %d calls answered", share(r.GetAvailability()), total)
	if r.GetDegraded() > 0 {
		text += fmt.Sprintf(" (%d by something else than the server)", r.GetDegraded())
	}
	if r.GetPromised() > 0 {
		text += fmt.Sprintf(", promised %s: %.0f%% of the error budget left", share(r.GetPromised()), 100*r.GetBudget())
	}
	text += "; " + counted(int(r.GetIncidents()), "incident")
	if r.GetIncidents() > 0 {
		text += fmt.Sprintf(", detected after %s and dealt with after %s on average", timeText(r.GetMttdSeconds()), timeText(r.GetMttrSeconds()))
	}
	return text
}

// share is a number from 0 to 1 as a percentage, without hiding what is missing to all.
func share(x float64) string {
	text := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.3f", 100*x), "0"), ".")
	if x < 1 && text == "100" {
		return "99.999%"
	}
	return text + "%"
}
