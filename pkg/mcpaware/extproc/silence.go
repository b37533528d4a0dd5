package extproc

import (
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
)

// watchSilence bounds the silence of an event stream whose answer is still to come:
// that before the first message, where events' ids went out by themselves, by the time of
// the try, and that between two pieces by CallContext.idle_timeout. Streams that are
// meant to stay open and those of an announced length are left to Envoy's own idle time.
func (a *attempt) watchSilence() {
	if a.over || a.held.events == nil || a.held.events.final != nil || a.held.length >= 0 || streams(a.call.GetMethod()) {
		return
	}
	a.spokeAt = time.Now()
	if limit := a.quiet(); limit < math.MaxInt64 {
		a.deadline = time.AfterFunc(limit, a.onSilence)
	}
}

// quiet is for how long nothing need be said on the stream; a very long time where nothing
// bounds it. One that has begun to speak may take its time.
func (a *attempt) quiet() time.Duration {
	e := a.held.events
	if perTry := a.call.GetPerTryTimeout().AsDuration(); perTry > 0 && e.resumable && !e.spoke && !e.lost && len(e.stream.Pending()) == 0 {
		return min(perTry-time.Since(a.started), a.left())
	}
	if idle := a.call.GetIdleTimeout().AsDuration(); idle > 0 {
		return idle - time.Since(a.spokeAt)
	}
	return math.MaxInt64
}

// onSilence ends a stream that has been silent for too long. The timer is not set
// anew with every piece, so it may find that there was one.
func (a *attempt) onSilence() {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() {
		if fault := recover(); fault != nil {
			a.phase = closed
			a.service.log.Error("silence not ended", "fault", fault, "stack", string(debug.Stack()))
		}
	}()
	if a.phase != passing || a.over || a.held.events.final != nil {
		return
	}
	if left := a.quiet(); left > 0 {
		if left < math.MaxInt64 {
			a.deadline = time.AfterFunc(left, a.onSilence)
		}
		return
	}
	a.observe(outcome.Failed)
	a.debug("event stream fell silent")
	if err := a.send(responseChunk(a.lastWord(degrade.Timeout), true)); err != nil {
		a.service.log.Debug("end of a silent stream not sent", slog.Any("error", err))
	}
	a.phase = closed
}

// lastWord is what takes the place of an answer that did not come: nothing where the
// client can come back for it. It cannot for one that has not begun in its time.
func (a *attempt) lastWord(code degrade.Code) []byte {
	e := a.held.events
	if e.lost || e.resumable && e.spoke {
		return nil
	}
	words := e.cut()
	for _, call := range a.lastCalls() {
		cause := degrade.New(code, degrade.Unknown, call, "")
		words = append(words, degrade.ErrorEvent(call, cause, policyv1.ErrorStyle_ERROR_STYLE_HTTP)...)
	}
	return words
}
