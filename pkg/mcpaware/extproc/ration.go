package extproc

import (
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/budget"
)

// ration counts a call that could be retried, and takes the route without retries where
// the server's budget is spent.
func (e *edge) ration() {
	d := &e.decision
	if d.Action.GetUnretried() == "" {
		return
	}
	server, ok := d.Route.Server(d.Action.GetServer())
	limit := server.GetRetryBudget()
	if !ok || limit == nil {
		return
	}
	share := budget.Share{Server: server.GetName(), Action: budget.Key(d.Action.GetRoute())}
	if e.service.opts.Budget.Call(share, budget.Limit{Percent: int64(limit.GetPercent()), Floor: int64(limit.GetFloor())}) {
		d.Call.Budget = share.Action
		return
	}
	d.WithoutRetries()
	e.debug("no retries: the budget is spent", "server", share.Server)
}

// countTry counts a try that is not the first of its call, unless it goes away from an endpoint that
// has fallen silent or that Envoy is about to eject. It waits for a word of the endpoint; heard takes that.
func (a *attempt) countTry() {
	action := a.call.GetBudget()
	if action == 0 {
		return
	}
	e := a.budgetEndpoint()
	silence := a.service.opts.Silence
	if a.endpoint.attempt > 1 && !silence.Explains(e, a.call.GetPerTryTimeout().AsDuration()) &&
		!a.service.opts.Window.Anticipates(e.Server, a.failedAddress, e.Address) {
		a.service.opts.Budget.Retry(budget.Share{Server: e.Server, Action: action})
	}
	silence.Begun(e)
}

// heard notes that the endpoint answers.
func (a *attempt) heard() {
	if a.call.GetBudget() != 0 {
		a.service.opts.Silence.Heard(a.budgetEndpoint())
	}
}

func (a *attempt) budgetEndpoint() budget.Endpoint {
	return budget.Endpoint{Server: a.call.GetServer(), Address: a.endpoint.address}
}
