package extproc

import (
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

// absentFor is how long a server counts as out of reach after a call has found it so: how much
// longer than needed a remembered list may be given out.
const absentFor = 250 * time.Millisecond

// maxAbsent bounds the servers that are remembered; those beyond are asked each time.
const maxAbsent = 4096

// absences are the servers that nothing could be sent to a moment ago, in any region. Lists and
// discovery that are remembered of them are given out without asking Envoy, which would try to connect for
// each. It is safe for concurrent use.
type absences struct {
	mu sync.Mutex
	// until when a server is not asked.
	until map[string]time.Time
}

// found notes that a server was out of reach.
func (a *absences) found(server string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil {
		a.until = make(map[string]time.Time)
	}
	if _, known := a.until[server]; known || len(a.until) < maxAbsent {
		a.until[server] = now.Add(absentFor)
	}
}

// over notes that a server has answered.
func (a *absences) over(server string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.until, server)
}

// skips says whether a server is not to be asked. Once in a while it is, by one call.
func (a *absences) skips(server string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	until, known := a.until[server]
	if !known {
		return false
	}
	if now.Before(until) {
		return true
	}
	a.until[server] = now.Add(absentFor)
	return false
}

// answerForAbsent gives the remembered answer of a server that is out of reach. A session's call is
// its endpoint's, and tells of that one only.
func (e *edge) answerForAbsent() {
	server := e.decision.Action.GetServer()
	if e.decision.CatalogKey == "" || e.decision.InSession || !e.service.absent.skips(server, time.Now()) {
		return
	}
	e.decision.Answer = e.stale(degrade.New(degrade.ServiceUnavailable, degrade.NotExecuted, e.decision.Call, e.request.RequestID))
}

// noteAbsence learns from what became of a call that could be answered from memory.
func (e *edge) noteAbsence(local degrade.Local) {
	if e.decision.CatalogKey == "" || e.decision.InSession {
		return
	}
	switch server := e.decision.Action.GetServer(); {
	case local.CodeDetails == viaUpstream:
		e.service.absent.over(server)
	case local.Unreachable():
		e.service.absent.found(server, time.Now())
	}
}
