package extproc

import (
	"bytes"
	"context"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
)

// findSlot says where the result of a call is remembered. Where one is, and the operator would
// rather have that given than ask a second provider, no other is asked.
func (e *edge) findSlot() {
	call := e.decision.Call
	at := call.GetCache()
	if at == nil {
		return
	}
	store := e.service.opts.Results
	if store == nil {
		call.Cache = nil
		return
	}
	at.Key = store.Slot(call.GetServer(), call.GetTool(), at.GetKey())
	if e.decision.Cached().GetBeforeFallback() && store.Has(call.GetServer(), call.GetTool(), at.GetKey(), at.GetMaxAge().AsDuration()) {
		e.decision.WithoutFallback()
	}
}

// instead gives the answer that takes the place of a broken or failing one: the last good list
// or result where there is one, else what the operator has written, else, where it
// is broken, an error. nil leaves the answer as it is.
func (e *edge) instead(cause degrade.Cause, broken, failing bool) *degrade.Answer {
	if !broken && !failing {
		return nil
	}
	for _, standIn := range [...]func(degrade.Cause) *degrade.Answer{e.stale, e.cached, e.static} {
		if answer := standIn(cause); answer != nil {
			return answer
		}
	}
	if !broken {
		return nil
	}
	return e.refusal(cause)
}

// refusal tells the caller why there is no answer.
func (e *edge) refusal(cause degrade.Cause) *degrade.Answer {
	answer := degrade.Render(e.call(), cause, e.decision.Route.Policy().GetErrors())
	return &answer
}

// cached is a result that the tool gave before for the same arguments.
func (e *edge) cached(cause degrade.Cause) *degrade.Answer {
	call, settings := e.decision.Call, e.decision.Cached()
	if settings == nil || e.service.opts.Results == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.decision.Route.LookupTimeout())
	defer cancel()
	entry, age, ok := e.service.opts.Results.Get(ctx, call.GetServer(), call.GetTool(), call.GetCache().GetKey(), settings.GetMaxAge().AsDuration())
	if !ok {
		return nil
	}
	answer, err := degrade.Cached(call, degrade.Remembered{
		Result: entry.GetResult(), AsOf: entry.GetAsOf().AsTime(), Age: age, Warn: settings.GetWarn(),
	}, cause)
	if err != nil {
		e.service.log.Warn("a remembered result cannot be served", "server", call.GetServer(), "tool", clip(call.GetTool()), "error", err)
		return nil
	}
	return &answer
}

// static is what the operator has written for when there is nothing else.
func (e *edge) static(cause degrade.Cause) *degrade.Answer {
	call, written := e.decision.Call, e.decision.Static()
	if written == nil || !degrade.StaticMayStandIn(call, &cause) {
		return nil
	}
	err := e.service.opts.Fits(call.GetServer(), call.GetTool(), written)
	if err == nil {
		var answer degrade.Answer
		if answer, err = degrade.Static(call, written, cause); err == nil {
			return &answer
		}
	}
	if e.service.misfits.take(call.GetServer() + "/" + e.decision.Rule) {
		e.service.log.Warn("the operator's answer is not given: clients would refuse it", "server", call.GetServer(), "tool", clip(call.GetTool()),
			"rule", e.decision.Rule, "error", err)
	}
	return nil
}

// rememberResult keeps a good answer to a call for the time when there is none. Only answers that
// are held anyway come here.
func (a *attempt) rememberResult(f *final) {
	at := a.call.GetCache()
	if at == nil || f.class != outcome.Succeeded || a.service.opts.Results == nil {
		return
	}
	if err := results.Acceptable(f.result); err != nil {
		a.debug("result is not remembered", "reason", err)
		return
	}
	a.service.opts.Results.Put(a.call.GetServer(), a.call.GetTool(), at.GetKey(), at.GetMaxAge().AsDuration(), bytes.Clone(f.result))
}

// keeps says that the result of the answer is wanted once it is there.
func (a *attempt) keeps() bool { return a.call.GetCatalogKey() != "" || a.call.GetCache() != nil }

// notificationToolsChanged is by what a server says that its list of tools has changed.
const notificationToolsChanged = "notifications/tools/list_changed"

// outdate has what is remembered of a server's tools forgotten, where an event of its said so.
func (a *attempt) outdate() {
	if e := a.held.events; e != nil && e.changed && a.service.opts.Results != nil {
		e.changed = false
		a.service.opts.Results.Invalidate(a.call.GetServer(), "", "the server said that its list of tools has changed")
	}
}
