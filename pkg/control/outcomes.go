package control

import "github.com/holdfast-mcp/holdfast/pkg/control/outcomes"

// openOutcomes begins with what operators said of breakers before the last stop. Where that
// cannot be read, processors decide by themselves, which is told.
func (p *Plane) openOutcomes() {
	saved, err := p.state.LoadOverrides()
	if err != nil {
		p.overridesProblem = err.Error()
		p.log.Warn("saved breaker overrides are not usable; processors decide by themselves", "error", err)
	}
	p.outcomes = outcomes.New(outcomes.Options{
		Overrides: saved, Save: p.state.SaveOverrides, Changed: p.breakersChanged, Observe: p.observe, Now: p.now, Logger: p.log,
	})
}

// breakersChanged tells those who watch the status.
func (p *Plane) breakersChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touch()
}
