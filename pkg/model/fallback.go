package model

import (
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// fallback resolves the second provider of a rule.
func (b *builder) fallback(route string, t config.ToolRule, rule Rule) *Fallback {
	if t.Fallback == nil {
		return nil
	}
	own := limits{timeout: t.Timeout, idle: t.IdleTimeout, retry: t.Retry}
	f := &Fallback{
		Server: t.Fallback.Server, Path: b.paths[t.Fallback.Server], FirstPath: b.paths[rule.Action.Server], Tool: t.Fallback.Tool,
		Arguments: moves(t.Fallback.Arguments), Result: moves(t.Fallback.Result),
		Action: b.goOn(route, rule.Action, t.Fallback.Server), Once: b.goOn(route, rule.Once, t.Fallback.Server),
		Direct:     b.action(route, t.Fallback.Server, rule.Action.Class, own),
		DirectOnce: b.action(route, t.Fallback.Server, Unsafe, own),
	}
	return f
}

func moves(in []config.Move) []Move {
	out := make([]Move, 0, len(in))
	for _, m := range in {
		out = append(out, Move(m))
	}
	return out
}

// goOn is an action whose tries go on to a second server: at least one for each region of
// the first and one for the second, in the time of the rule.
func (b *builder) goOn(route string, a Action, second string) Action {
	a.Second, a.Unretried, a.Spread = second, "", 1
	first := b.servers[a.Server]
	regions := len(first.Priorities)
	if regions == 1 {
		// All regions have one priority: a try that failed leaves it only when each
		// of them has had one.
		regions = len(first.Priorities[0])
		a.Spread = regions
	}
	a.Attempts = max(a.Attempts, regions+1)
	if a.Class == Safe {
		a.PerTryTimeout = min(a.PerTryTimeout, a.Timeout/time.Duration(a.Attempts))
	}
	a.Stamp = b.stamp(route, string(a.Class)+"-fallback", a)
	return a
}
