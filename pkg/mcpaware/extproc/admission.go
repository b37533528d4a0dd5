package extproc

import (
	"errors"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/admit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
)

// waitGrace is how much longer than a call may wait Envoy is told to: on a busy machine
// the refusal still has to reach it in time. It is Envoy's usual patience.
const waitGrace = 500 * time.Millisecond

// admit lets the call through, now or after a wait, or gives the answer in its place. The
// stream holds the slot from then on: see leave.
func (e *edge) admit(stream extprocv3.ExternalProcessor_ProcessServer) (*degrade.Answer, error) {
	shedding := e.service.opts.Pressure.Level() > 0
	if !e.decided || e.decision.Call == nil || !(shedding || e.decision.Route.Limited()) || !e.decision.Ranked() {
		return nil, nil //nolint:nilnil // nothing in its place
	}
	call := e.decision.Admission(e.service.opts.Live())
	if shedding && e.service.opts.Pressure.Sheds(call.Priority) {
		return e.crowdedOut(e.service.opts.Pressure.Refusal()), nil
	}
	if call.ServerLimit.Concurrent == 0 && call.RuleLimit.Concurrent == 0 {
		return nil, nil //nolint:nilnil // nothing in its place
	}
	ticket, refusal := e.service.opts.Gate.Ask(call)
	if refusal != nil {
		return e.crowdedOut(refusal), nil
	}
	e.ticket = ticket
	if _, waits := ticket.Waiting(); !waits {
		return nil, nil //nolint:nilnil // nothing in its place
	}
	return e.wait(stream, ticket, call.Timeout)
}

// wait keeps Envoy patient until the call has a slot. Without the first message it would
// go on after half a second, without a stamp and so to its last route.
func (e *edge) wait(stream extprocv3.ExternalProcessor_ProcessServer, ticket *admit.Ticket, timeout time.Duration) (*degrade.Answer, error) {
	budget, _ := ticket.Waiting()
	if err := stream.Send(&extprocv3.ProcessingResponse{OverrideMessageTimeout: durationpb.New(budget + waitGrace)}); err != nil {
		return nil, err
	}
	err := ticket.Wait(stream.Context())
	var refusal *admit.Refusal
	switch {
	case errors.As(err, &refusal):
		return e.crowdedOut(refusal), nil
	case err != nil:
		return nil, err
	}
	// What the wait took is missing from the time to answer.
	if left := timeout - ticket.Waited(); timeout > 0 && left < e.decision.Call.GetPerTryTimeout().AsDuration() {
		e.decision.Call.PerTryTimeout = durationpb.New(max(left, time.Millisecond))
	}
	return nil, nil //nolint:nilnil // nothing in its place
}

// leave gives the slot back, if there is one. It is safe at any time.
func (e *edge) leave() {
	if e.ticket != nil {
		e.ticket.Release()
	}
}

// crowdedOut is the answer to a call that there is no room for: what is remembered of
// its server, where there is such a thing, else a refusal that says when to come back.
func (e *edge) crowdedOut(r *admit.Refusal) *degrade.Answer {
	call, id := e.decision.Call, e.request.RequestID
	var cause degrade.Cause
	if r.Reason == admit.Shed || r.Reason == admit.Overloaded {
		cause = degrade.Crowded(r.Limit, r.RetryAfter, call, id)
	} else {
		cause = degrade.Busy(r.Limit, r.OfRule, r.RetryAfter, call, id)
	}
	e.trace.note(span.Limit.String(r.Reason.String()))
	e.debug("not admitted", "reason", r.Reason, "limit", r.Limit, "retry_after", r.RetryAfter)
	return e.instead(cause, true, false)
}
