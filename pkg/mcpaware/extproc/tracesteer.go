package extproc

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
)

// steered notes what breakers had to say about the call: which regions it was kept away from and why, whether
// it is a trial, and whether it was refused.
func (t *edgeTrace) steered(c breaker.Choice, refused bool) {
	if t == nil {
		return
	}
	for _, one := range []struct {
		key   attribute.Key
		state breaker.State
	}{{span.BreakerOpen, breaker.Open}, {span.BreakerHalfOpen, breaker.HalfOpen}, {span.Busy, breaker.Closed}} {
		var regions []string
		for _, avoided := range c.Avoided {
			if avoided.State == one.state {
				regions = append(regions, avoided.Region)
			}
		}
		if len(regions) > 0 {
			t.note(one.key.StringSlice(regions))
		}
	}
	if c.Trial != nil {
		t.note(span.BreakerTrial.String(c.Trial.Region()))
	}
	if len(c.Avoided) > 0 {
		t.note(span.BreakerRefused.Bool(refused && !c.Busy))
	}
}

// sentAway notes from which regions of the server the call's caller is sent away.
func (t *edgeTrace) sentAway(regions []string, place share.Choice) {
	if t == nil {
		return
	}
	t.note(span.SentAway.StringSlice(slices.DeleteFunc(slices.Clone(regions), func(r string) bool { return slices.Contains(place.Preferred, r) })))
}
