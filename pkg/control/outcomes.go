package control

import (
	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
)

// openOutcomes begins with what operators said of breakers before the last stop. Where that
// cannot be read, processors decide by themselves, which is told.
func (p *Plane) openOutcomes() {
	saved, err := p.state.LoadOverrides()
	if err != nil {
		p.overridesProblem = err.Error()
		p.log.Warn("saved breaker overrides are not usable; processors decide by themselves", "error", err)
	}
	purges, err := p.state.LoadPurges()
	if err != nil {
		// Nobody knows any more what was purged, so nothing of what is remembered may be given.
		p.log.Warn("saved purges are not usable; all that processors remember is purged", "error", err)
		purges = []*outcomev1.Purge{{Serial: uint64(p.now().UnixMilli()), By: ownAuthor, Reason: "what was purged before is not known any more"}} //nolint:gosec // after 1970
	}
	p.outcomes = outcomes.New(outcomes.Options{
		Purges: purges, SavePurges: p.state.SavePurges,
		Overrides: saved, Save: p.state.SaveOverrides, Changed: p.breakersChanged, Observe: p.observe, Now: p.now, Logger: p.log,
	})
}

// breakersChanged tells those who watch the status.
func (p *Plane) breakersChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touch()
}
