package main

import (
	"fmt"
	"strings"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// everyRegion stands for the region of a breaker that an operator holds in all of them.
const everyRegion = "every region"

func regionWord(b *adminv1.Breaker) string {
	if b.GetRegion() == "" {
		return everyRegion
	}
	return b.GetRegion()
}

// breakerState is the word for a state.
func breakerState(b *adminv1.Breaker) string {
	var word string
	switch b.GetState() {
	case adminv1.BreakerState_BREAKER_STATE_OPEN:
		word = "open"
	case adminv1.BreakerState_BREAKER_STATE_HALF_OPEN:
		word = "half-open"
	default:
		word = "closed"
	}
	if b.GetHeld() {
		word = "held " + word
	}
	return word
}

// brokenTools are the breakers that answers opened.
func brokenTools(s *adminv1.StatusResponse) []*adminv1.Breaker {
	var out []*adminv1.Breaker
	for _, b := range s.GetBreakers() {
		if !b.GetHeld() && b.GetState() != adminv1.BreakerState_BREAKER_STATE_CLOSED {
			out = append(out, b)
		}
	}
	return out
}

// nextTrial says when a call is tried again, or when an operator's word ends.
func nextTrial(b *adminv1.Breaker, now time.Time) string {
	switch {
	case b.GetHeld() && b.GetUntil() != nil:
		return "ends in " + ago(b.GetUntil().AsTime(), now)
	case b.GetHeld():
		return "until it is taken back"
	case b.GetState() == adminv1.BreakerState_BREAKER_STATE_HALF_OPEN:
		return "trying now"
	case b.GetRetryAt() == nil:
		return ""
	case !b.GetRetryAt().AsTime().After(now):
		return "at the next call"
	default:
		return "in " + ago(b.GetRetryAt().AsTime(), now)
	}
}

// broken tells of tools that are broken, by server and region.
func (v *statusView) broken() {
	type place struct{ server, region string }
	byPlace := map[place][]*adminv1.Breaker{}
	var order []place
	for _, b := range brokenTools(v.status) {
		p := place{b.GetServer(), b.GetRegion()}
		if len(byPlace[p]) == 0 {
			order = append(order, p)
		}
		byPlace[p] = append(byPlace[p], b)
	}
	for _, p := range order {
		tools := byPlace[p]
		hidden := 0
		if len(tools) > maxRows && !v.all {
			hidden = len(tools) - maxRows
			tools = tools[:maxRows]
		}
		var words strings.Builder
		t := &table{}
		for _, b := range tools {
			next := nextTrial(b, v.now)
			if next != "" && b.GetState() == adminv1.BreakerState_BREAKER_STATE_OPEN {
				next = "next trial " + next
			}
			t.row(b.GetTool(), breakerState(b)+" for "+v.ago(b.GetSince().AsTime()), next, "by "+b.GetBy(), cut(oneLine(b.GetReason()), maxReason))
		}
		t.write(&words)
		if hidden > 0 {
			fmt.Fprintf(&words, "… and %d more; --all shows them.\n", hidden)
		}
		are := "is"
		if len(byPlace[p]) > 1 {
			are = "are"
		}
		v.problem(words.String(), "%s in %s: %s %s broken; calls of other tools go there as before.",
			oneLine(p.server), oneLine(p.region), counted(len(byPlace[p]), "tool"), are)
	}
}

// heldBreakers tells what operators hold: not wrong, but not to be forgotten.
func (v *statusView) heldBreakers() {
	t := newTable("HELD BREAKER", "REGION", "STATE", "SINCE", "ENDS", "BY", "REASON")
	for _, b := range v.status.GetBreakers() {
		if b.GetHeld() {
			ends := strings.TrimPrefix(nextTrial(b, v.now), "ends ")
			t.row(b.GetServer()+"/"+b.GetTool(), regionWord(b), strings.TrimPrefix(breakerState(b), "held "), v.ago(b.GetSince().AsTime()), ends,
				strings.TrimPrefix(b.GetBy(), "operator "), cut(oneLine(b.GetReason()), maxReason))
		}
	}
	if len(t.rows) > 1 {
		v.write(t, 0, "breaker", "held")
	}
}

// breakerFacts are the breakers for who watches.
func breakerFacts(s *adminv1.StatusResponse) []fact {
	out := make([]fact, 0, len(s.GetBreakers()))
	for _, b := range s.GetBreakers() {
		about := oneLine(fmt.Sprintf("%s in %s: %s", b.GetServer(), regionWord(b), b.GetTool()))
		text := fmt.Sprintf("%s: breaker %s, by %s", about, breakerState(b), b.GetBy())
		if b.GetReason() != "" {
			text += ": " + b.GetReason()
		}
		out = append(out, fact{aboutBreaker + about, oneLine(text)})
	}
	return out
}

// breakersTable has a row for each breaker.
func breakersTable(breakers []*adminv1.Breaker, now time.Time) string {
	var out strings.Builder
	t := newTable("SERVER", "TOOL", "REGION", "STATE", "SINCE", "NEXT TRIAL", "BY", "REASON")
	for _, b := range breakers {
		t.row(b.GetServer(), b.GetTool(), regionWord(b), breakerState(b), ago(now, b.GetSince().AsTime()), nextTrial(b, now), b.GetBy(), cut(oneLine(b.GetReason()), maxReason))
	}
	t.write(&out)
	return out.String()
}

// verdictsTable has what tools answered lately: those that failed, or all of them.
func verdictsTable(verdicts []*adminv1.ToolVerdicts, all bool) string {
	var out strings.Builder
	t := newTable("SERVER", "TOOL", "REGION", "ENDPOINT", "FAILED IN 10 S", "OF", "FAILED IN 1 MIN", "OF")
	for _, one := range verdicts {
		if !all && one.GetMinute().GetFailed() == 0 {
			continue
		}
		tool := one.GetTool()
		if tool == "" {
			tool = one.GetMethod()
		}
		t.row(one.GetServer(), tool, one.GetRegion(), one.GetEndpoint(),
			fmt.Sprint(one.GetRecent().GetFailed()), fmt.Sprint(total(one.GetRecent())),
			fmt.Sprint(one.GetMinute().GetFailed()), fmt.Sprint(total(one.GetMinute())))
	}
	if len(t.rows) > 1 {
		t.write(&out)
	}
	return out.String()
}

func total(c *adminv1.VerdictCounts) uint64 { return c.GetGood() + c.GetFailed() + c.GetBusy() }
