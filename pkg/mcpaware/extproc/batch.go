package extproc

import (
	"bytes"
	"slices"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// awaited reports whether somebody waits for an answer: the message, or one of the
// batch, is a request.
func awaited(call *policyv1.CallContext) bool {
	return len(call.GetId()) > 0 || len(call.GetBatchIds()) > 0 || unread(call)
}

// forgetBatch lets go of the body that the batch's ids alias.
func (e *edge) forgetBatch() {
	for i, call := range e.decision.Batch {
		call.Id = bytes.Clone(call.GetId())
		e.decision.Call.BatchIds[i] = call.GetId()
	}
}

// insteadOfBatch tells each request of a batch why there is no answer to it.
func (e *edge) insteadOfBatch(h headers, local degrade.Local, report outcome.Report, judged bool) *degrade.Answer {
	causes := make([]degrade.Cause, 0, len(e.decision.Batch))
	for _, call := range e.decision.Batch {
		cause, _ := e.broken(call, h, local, report, judged)
		causes = append(causes, cause)
	}
	answer := degrade.RenderBatch(e.decision.Batch, causes, e.decision.Route.Policy().GetErrors())
	e.debug("degraded", "source", answer.Source, "code", causes[0].Code, "details", local.CodeDetails, "attempts", local.Attempts)
	return &answer
}

// judgeBatch weighs the JSON answer to a batch as a whole: it has failed where each of
// its requests has, or is without an answer; some good answers are worth more than none.
func (a *attempt) judgeBatch(body []byte) final {
	f := final{class: outcome.Failed, usable: true, end: len(body)}
	answers, fault := wire.ParseAnswers(body)
	if fault != nil {
		f.usable = false
		return f
	}
	for _, id := range a.call.GetBatchIds() {
		class, answered := outcome.Failed, false
		for i := range answers {
			if outcome.Answers(&answers[i], id) {
				class, answered = outcome.Judge(&answers[i], id), true
				break
			}
		}
		f.usable = f.usable && answered
		switch {
		case class == outcome.Succeeded, class == outcome.Refused && f.class == outcome.Failed:
			f.class = class
		}
	}
	return f
}

// batchEvents follows the answers to a batch (2025-03-26), which may come one by one or
// some at a time.
type batchEvents struct {
	// open are the ids without an answer.
	open [][]byte
	// class is the best of the answers.
	class outcome.Class
}

// newBatchEvents is nil for a message that is no batch.
func newBatchEvents(ids [][]byte) *batchEvents {
	if len(ids) == 0 {
		return nil
	}
	return &batchEvents{open: slices.Clone(ids), class: outcome.Failed}
}

// seeBatch takes an event of the answer to a batch: with the first good answer the batch has
// not failed as a whole, so nothing is held from there on.
func (e *events) seeBatch(ev *wire.Event) {
	answers, fault := wire.ParseAnswers(ev.Data)
	e.spoke = true
	if fault != nil {
		e.final = &final{class: outcome.Failed}
		return
	}
	b := e.batch
	for i := range answers {
		a := &answers[i]
		at := slices.IndexFunc(b.open, func(id []byte) bool { return outcome.Answers(a, id) })
		if at < 0 {
			// A server's request has to be answered before anything else comes.
			e.commit = e.commit || a.Kind == wire.Request || e.hurried && a.Kind == wire.Notification
			continue
		}
		class := outcome.Judge(a, b.open[at])
		b.open = slices.Delete(b.open, at, at+1)
		if class == outcome.Succeeded || class == outcome.Refused && b.class == outcome.Failed {
			b.class = class
		}
	}
	switch {
	case len(b.open) == 0:
		// Nothing is written into answers of which each is for another request.
		e.final = &final{class: b.class, usable: true, bare: true, start: int(ev.Start), end: int(ev.End)}
	case b.class == outcome.Succeeded:
		e.commit = true
	}
}

// lastCalls are the calls that an answer that is cut short leaves without one.
func (a *attempt) lastCalls() []*policyv1.CallContext {
	if a.held.events == nil || a.held.events.batch == nil {
		return []*policyv1.CallContext{a.call}
	}
	var calls []*policyv1.CallContext
	for _, id := range a.held.events.batch.open {
		calls = append(calls, &policyv1.CallContext{Policy: a.call.GetPolicy(), Server: a.call.GetServer(), Id: id, Revision: a.call.GetRevision()})
	}
	return calls
}
