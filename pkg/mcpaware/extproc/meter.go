package extproc

import (
	"strconv"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
)

// Headers that tell callers about limits (draft-ietf-httpapi-ratelimit-headers, revision 06).
const (
	headerRateLimit     = "ratelimit-limit"
	headerRateRemaining = "ratelimit-remaining"
	headerRateReset     = "ratelimit-reset"
)

// quota is what a caller is told of the limit that it is nearest to.
type quota struct {
	limit, left int64
	// reset is when all of it is there again.
	reset time.Duration
}

// meter charges a decided message for its rate limits. Where one of them has no room, the
// decision's answer says so. A call that Envoy begins again has been charged.
func (e *edge) meter() {
	if e.again != nil {
		return
	}
	if charge, ok := e.decision.DiscoverCharge(&e.request); ok {
		e.meterDiscover(charge)
		return
	}
	charges := e.decision.Charges(&e.request)
	if len(charges) == 0 {
		return
	}
	var few [8]limit.Result
	results := few[:]
	if len(charges) > len(few) {
		results = make([]limit.Result, len(charges))
	}
	results = results[:len(charges)]
	admitted := e.service.opts.Limits.Take(charges, results)
	e.service.opts.Metered(charges, results)
	e.quota = nearest(charges, results)
	if !admitted {
		e.tooMany(charges, results)
	}
}

// meterDiscover answers server/discover from memory beyond its own limit. Refused it is
// never: clients take any failure for a server of an older revision.
func (e *edge) meterDiscover(charge limit.Charge) {
	var result [1]limit.Result
	if e.service.opts.Limits.Take([]limit.Charge{charge}, result[:]) {
		return
	}
	e.service.opts.Metered([]limit.Charge{charge}, result[:])
	e.decision.Answer = e.stale(degrade.New(degrade.RateLimited, degrade.NotExecuted, e.decision.Call, e.request.RequestID))
}

// tooMany words the refusal: the limit that has room last is the one that is told.
func (e *edge) tooMany(charges []limit.Charge, results []limit.Result) {
	worst := -1
	for i := range results {
		if results[i].Over && !charges[i].Rule.Shadow && (worst < 0 || results[i].RetryAfter > results[worst].RetryAfter) {
			worst = i
		}
	}
	rule := charges[worst].Rule
	told := degrade.Limit{
		Requests: rule.Requests, Per: rule.Per, By: e.decision.Route.ByWords(rule), Cost: charges[worst].Units, RetryAfter: results[worst].RetryAfter,
	}
	e.trace.note(span.Limit.String(rule.ID))
	e.debug("over a limit", "limit", rule.ID, "retry_after", told.RetryAfter)
	call, id := e.decision.Call, e.request.RequestID
	var answer degrade.Answer
	if len(e.decision.Batch) > 0 {
		causes := make([]degrade.Cause, 0, len(e.decision.Batch))
		for _, one := range e.decision.Batch {
			causes = append(causes, degrade.Limited(told, one, id))
		}
		answer = degrade.RenderBatch(e.decision.Batch, causes, e.decision.Route.Policy().GetErrors())
	} else {
		cause := degrade.Limited(told, call, id)
		if stale := e.stale(cause); stale != nil {
			answer = *stale
		} else {
			// Who asks too often is told so, and given nothing that was remembered of a tool.
			answer = *e.refusal(cause)
		}
	}
	answer.Headers = append(answer.Headers, e.quota.headers()...)
	e.decision.Answer = &answer
}

// nearest is the limit of which the least part is left; nil where all are shadows.
func nearest(charges []limit.Charge, results []limit.Result) *quota {
	var out *quota
	for i := range charges {
		if charges[i].Rule.Shadow {
			continue
		}
		q := quota{limit: results[i].Limit, left: max(results[i].Limit-results[i].Used, 0), reset: charges[i].Rule.Per}
		if results[i].Over {
			q.left, q.reset = 0, results[i].RetryAfter
		}
		if out == nil || q.left*out.limit < out.left*q.limit || (q.left == 0 && out.left == 0 && q.reset > out.reset) {
			out = &q
		}
	}
	return out
}

// headers tell the caller: the limit, what is
// left of it, and whole seconds until it is whole again, or there is room again.
func (q *quota) headers() []degrade.HeaderValue {
	if q == nil {
		return nil
	}
	return []degrade.HeaderValue{
		{Name: headerRateLimit, Value: strconv.FormatInt(q.limit, 10)},
		{Name: headerRateRemaining, Value: strconv.FormatInt(q.left, 10)},
		{Name: headerRateReset, Value: strconv.FormatInt(int64((q.reset+time.Second-1)/time.Second), 10)},
	}
}
