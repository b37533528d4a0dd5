package extproc

import (
	"slices"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/told"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// tally is what the metrics have to know of one request.
type tally struct {
	began time.Time
	// counted: the request has ended for its caller.
	counted bool
}

// begin takes the time, where somebody asks for it.
func (e *edge) begin() {
	if e.service.opts.Calls != nil {
		e.tally.began = time.Now()
	}
}

// replaced gives the caller an answer in the place of Envoy's or a server's.
func (e *edge) replaced(answer *degrade.Answer, h headers) *extprocv3.ProcessingResponse {
	e.answered(answer, h.first(names.HeaderRegion))
	return immediate(answer)
}

// answered counts a request that Holdfast answers itself. region is where the answer came
// from that it replaces, if anywhere.
func (e *edge) answered(answer *degrade.Answer, region string) {
	e.trace.replaced(answer)
	status := telemetry.Degraded
	switch {
	case answer.Source == degrade.SourceCache, answer.Source == degrade.SourceStatic:
	case answer.Code == degrade.RateLimited:
		status = telemetry.Limited
	case answer.Source == "":
		status = telemetry.Refused
	case answer.Source == degrade.SourceError:
		status = telemetry.Failed
	}
	e.logFailure(status, string(answer.Code), region)
	e.count(telemetry.Call{Status: status, Error: string(answer.Code), Source: answer.Source, Region: region})
}

// passed counts a request whose caller gets a server's own answer; the cause says what that
// complains of, if anything.
func (e *edge) passed(h headers, cause degrade.Cause) {
	status := telemetry.OK
	if cause.Code != "" {
		status = telemetry.Failed
	}
	c := telemetry.Call{Status: status, Error: string(cause.Code), Region: h.first(names.HeaderRegion)}
	if status == telemetry.Failed {
		e.logFailure(status, c.Error, c.Region)
	}
	if source := h.first(names.HeaderDegraded); (source == degrade.SourceFallback || source == degrade.SourceReduced) && status == telemetry.OK {
		c.Status, c.Source = telemetry.Degraded, source
	}
	e.count(c)
}

// left counts a request whose caller went away, at the end of its stream.
func (e *edge) left() {
	if e.decided {
		e.count(telemetry.Call{Status: telemetry.Cancelled, Error: telemetry.CancelledType})
	}
}

// count counts the request once, a batch by each of its messages.
func (e *edge) count(c telemetry.Call) {
	calls := e.service.opts.Calls
	if calls == nil || e.tally.counted || e.tally.began.IsZero() {
		return
	}
	e.tally.counted = true
	c.Took, c.Home = time.Since(e.tally.began), e.home()
	messages := e.decision.Batch
	if len(messages) == 0 {
		messages = []*policyv1.CallContext{e.call()}
	}
	for _, m := range messages {
		c.Server, c.Method, c.Tool = m.GetServer(), m.GetMethod(), m.GetTool()
		calls.Ended(&c)
		e.tell(&c)
		// One request, one failover.
		c.Home = ""
	}
}

// tell has the control plane know how a call ended, where its server's promise counts it.
func (e *edge) tell(c *telemetry.Call) {
	t := e.service.opts.Told
	if t == nil || c.Method == "" {
		return
	}
	switch c.Status {
	case telemetry.OK:
		t.Ended(c.Server, told.Answered)
	case telemetry.Degraded:
		t.Ended(c.Server, told.Degraded)
	case telemetry.Failed:
		t.Ended(c.Server, told.Failed)
	case telemetry.Limited, telemetry.Refused, telemetry.Cancelled:
	}
}

// home is the region that the request prefers; empty where it prefers none, or belongs to
// a session, which has an endpoint of its own.
func (e *edge) home() string {
	if e.decision.Route == nil || e.session.call != nil {
		return ""
	}
	server, ok := e.decision.Route.Server(e.decision.Action.GetServer())
	if !ok || len(server.GetRegions()) == 0 {
		return ""
	}
	switch server.GetFailover() {
	case policyv1.Failover_FAILOVER_SHARED:
		return ""
	case policyv1.Failover_FAILOVER_NEAREST:
		if own := e.service.opts.Region; slices.Contains(server.GetRegions(), own) {
			return own
		}
	default:
	}
	return server.GetRegions()[0]
}

// countRetry counts a try that is not the first of its call.
func (a *attempt) countRetry() {
	if calls := a.service.opts.Calls; calls != nil && a.endpoint.attempt > 1 && a.call != nil {
		calls.Retried(a.call.GetServer(), a.endpoint.region)
	}
}
