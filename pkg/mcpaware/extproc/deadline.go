package extproc

import (
	"math"
	"net/http"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// limit tells the tries of a call when all of it is over.
func (e *edge) limit() {
	if deadline := e.decision.Deadline(time.Now()); !deadline.IsZero() {
		e.decision.Call.DeadlineMs = deadline.UnixMilli()
	}
}

// tryOverrun is how far a try may go beyond the end of its call before it is cut by a timer of its own: Envoy's
// per-try timeout ends it at about that time, and only that counts against the endpoint.
const tryOverrun = 100 * time.Millisecond

// left is what is left of the call's time; a very long time where nothing ends it.
func (a *attempt) left() time.Duration {
	deadline := a.call.GetDeadlineMs()
	if deadline <= 0 {
		return math.MaxInt64
	}
	return time.Until(time.UnixMilli(deadline))
}

// tryBackstop is how long after Envoy's per-try timeout a try without an answer is ended from here. Envoy's own
// timeout is better, since the call may go on elsewhere, but a single 1xx of the server
// switches it off; so it gets time enough on a busy machine.
const tryBackstop = time.Second

// giveUpLater sees to it that a try which gets no answer at all does not outlast its call, as Envoy's
// per-try timeout begins anew with each, and ends at all. over is set where the time is up already.
func (a *attempt) giveUpLater() {
	perTry, left := a.call.GetPerTryTimeout().AsDuration(), a.left()
	switch {
	case perTry <= 0:
	case left >= perTry-tryOverrun:
		a.deadline = time.AfterFunc(perTry+tryBackstop, a.onDeadline)
	case left <= 0:
		a.over = true
	default:
		a.deadline = time.AfterFunc(left, a.onDeadline)
	}
}

// giveUp ends a try, and the call with it, whose server has not answered in time.
func (a *attempt) giveUp() {
	a.observe(outcome.Failed)
	a.debug("no time left")
	if err := a.send(immediate(a.outOfTime())); err != nil {
		a.service.log.Debug("end of the call's time not told", "error", err)
	}
	a.phase = closed
}

// outOfTime goes down to the edge point as it is, untried, which words it for the caller. Where
// that has gone meanwhile, the caller gets these words.
func (a *attempt) outOfTime() *degrade.Answer {
	report := outcome.Report{Verdict: outcome.Timeout, Status: http.StatusGatewayTimeout}
	answer := degrade.Render(a.call, degrade.New(degrade.Timeout, degrade.Unknown, a.call, ""), policyv1.ErrorStyle_ERROR_STYLE_HTTP)
	answer.Status = names.StatusGiveUp
	answer.Headers = append(answer.Headers, degrade.HeaderValue{Name: names.HeaderVerdict, Value: report.String()})
	return &answer
}

// pace decides whether and when a failed try is followed by another. The wait, in seconds, is 0 where Envoy's own
// back-off is enough. There is no other try once the call's time is up, and none at
// an endpoint that asks for more time (Retry-After) than is left.
func (a *attempt) pace(status int) (envoyStatus int, wait int64) {
	left := a.left()
	if left <= 0 {
		return names.StatusGiveUp, 0
	}
	if !a.call.GetSafe() || a.held.retryAfter == "" || a.othersLeft() {
		return status, 0
	}
	asked := retryAfter(headers{{Key: "retry-after", Value: a.held.retryAfter}}, time.Now())
	// Envoy waits up to half as long again.
	if asked+asked/2 >= left {
		return names.StatusGiveUp, 0
	}
	return status, int64(math.Ceil(asked.Seconds()))
}

// othersLeft says that the call has not been everywhere yet: the next try goes elsewhere.
func (a *attempt) othersLeft() bool {
	return a.endpoint.attempt < uint64(len(a.endpoint.server.GetEndpoints()))
}
