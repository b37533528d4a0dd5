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

// countRetry counts a try that is not the first of its call.
func (a *attempt) countRetry() {
	if action := a.call.GetBudget(); action != 0 && a.endpoint.attempt > 1 {
		a.service.opts.Budget.Retry(budget.Share{Server: a.call.GetServer(), Action: action})
	}
}
