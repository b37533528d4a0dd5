package extproc

import (
	"slices"
	"strings"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/fallback"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// second is what a try at the second provider of a call has to know.
type second struct {
	result fallback.Mapping
	// mark is the value of _meta["holdfast/degraded"].
	mark []byte
}

// turn makes a try at an endpoint of the second provider a call of its tool. Envoy
// chooses the endpoint after the edge point has decided, so only here is it known.
func (a *attempt) turn(server string, h headers, reply *extprocv3.CommonResponse) {
	to := a.call.GetSecond()
	if to == nil {
		return
	}
	if server != to.GetServer() {
		aim(reply, h, to.GetFirstPath(), a.call.GetTool())
		return
	}
	result, err := fallback.Compile(to.GetResult())
	if err != nil {
		// The edge point compiled it before; without it the result stays as it is.
		a.service.log.Error("result of the second provider is not mapped", "error", err)
	}
	a.second = &second{result: result, mark: degrade.FallbackMark(to.GetServer(), to.GetTool(), a.call)}
	aim(reply, h, to.GetPath(), to.GetTool())
	reply.Status = extprocv3.CommonResponse_CONTINUE_AND_REPLACE
	reply.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: to.GetBody()}}
	// What it answers is counted for the tool that answers.
	a.call = secondCall(a.call, to)
}

// aim names path and tool in a try's headers. All tries of a request share one set of
// them, so a try that comes back to the first provider has to set them too.
func aim(reply *extprocv3.CommonResponse, h headers, path, tool string) {
	mutation := reply.GetHeaderMutation()
	if now, _, _ := strings.Cut(h.first(":path"), "?"); now != path {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader(":path", path))
	}
	if named := h.first("mcp-name"); named != "" && named != tool {
		mutation.SetHeaders = append(mutation.SetHeaders, setHeader("mcp-name", tool))
	}
}

func secondCall(first *policyv1.CallContext, to *policyv1.SecondCall) *policyv1.CallContext {
	return &policyv1.CallContext{
		Policy: first.GetPolicy(), Server: to.GetServer(), Method: first.GetMethod(), Tool: to.GetTool(),
		Id: first.GetId(), Safe: first.GetSafe(), PerTryTimeout: first.GetPerTryTimeout(), IdleTimeout: first.GetIdleTimeout(),
		Revision: first.GetRevision(), Principal: first.GetPrincipal(), DeadlineMs: first.GetDeadlineMs(),
	}
}

// translate makes the second provider's answer one to the call that the caller made, and
// marks it. false: it cannot be, and so is no answer.
func (a *attempt) translate(f *final) bool {
	if a.second == nil || !f.usable {
		return true
	}
	edit := func(answer []byte) ([]byte, error) {
		mapped, err := fallback.Answer(answer, a.second.result)
		if err != nil {
			return nil, err
		}
		if marked, err := wire.SpliceMeta(mapped, names.MetaDegraded, a.second.mark); err == nil {
			// An error has no _meta.
			mapped = marked
		}
		return mapped, nil
	}
	body := a.held.body
	change := edit
	if a.held.events != nil {
		change = func(event []byte) ([]byte, error) { return wire.EditEvent(event, edit) }
	}
	changed, err := change(body[f.start:f.end])
	if err != nil {
		a.debug("answer of the second provider cannot be mapped", "error", err)
		return false
	}
	a.exchange(f, changed)
	return true
}

// exchange puts other bytes in the place of an answer that is held.
func (a *attempt) exchange(f *final, changed []byte) {
	body := a.held.body
	a.held.body = slices.Concat(body[:f.start], changed, body[f.end:])
	if a.held.length >= 0 {
		a.held.length += int64(len(changed) - (f.end - f.start))
		a.held.spliced = true
	}
	f.end = f.start + len(changed)
}

// tooLong is what becomes of an answer that cannot be held whole, where it has to be.
func (a *attempt) tooLong() (handled bool, err error) {
	if a.second == nil || a.second.result.Empty() {
		return false, nil
	}
	return true, a.judged(a.observe(outcome.Failed), false, false)
}
