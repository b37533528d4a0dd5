package extproc

import (
	"bytes"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// awaited reports whether somebody waits for an answer: the message, or one of the
// batch, is a request.
func awaited(call *policyv1.CallContext) bool {
	return len(call.GetId()) > 0 || len(call.GetBatchIds()) > 0
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
