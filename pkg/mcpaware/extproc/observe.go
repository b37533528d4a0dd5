package extproc

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
)

// observe counts what the answer says about the tool and the endpoint.
func (a *attempt) observe(class outcome.Class) outcome.Verdict {
	verdict := a.service.opts.Window.Observe(a.asked(), class)
	if class == outcome.Failed {
		a.consider(a.asked())
	}
	return verdict
}

// observeBroken counts an answer whose HTTP status says that the endpoint is broken.
func (a *attempt) observeBroken() outcome.Verdict {
	verdict := a.service.opts.Window.ObserveBroken(a.asked())
	a.consider(a.asked())
	return verdict
}

// silence counts a try that Envoy gave up since no answer had begun in its time. It
// tells nobody but this stream's end; a caller that went away does so earlier.
func (a *attempt) silence() {
	limit := a.call.GetPerTryTimeout().AsDuration()
	if a.phase == waiting && (len(a.call.GetId()) > 0 || unread(a.call)) && limit > 0 && time.Since(a.started) >= limit {
		a.observe(outcome.Failed)
	}
}

func (a *attempt) asked() outcome.Call {
	return outcome.Call{
		Server: a.call.GetServer(), Endpoint: a.endpoint.address, Region: a.endpoint.region,
		Method: a.call.GetMethod(), Tool: a.call.GetTool(),
		Principal: a.call.GetPrincipal(), Took: time.Since(a.started), Alone: a.endpoint.alone,
	}
}

// consider opens the breaker of a tool where it is time. While an endpoint's failure is left
// to Envoy, which ejects it, its breakers stay as they are: were its tools kept away one by
// one, too few failures would be left for that.
func (a *attempt) consider(c outcome.Call) {
	if c.Tool == "" || a.service.opts.Window.LeftToEnvoy(c) {
		return
	}
	key := breaker.Key{Server: c.Server, Tool: c.Tool, Region: c.Region}
	a.service.opts.Breakers.Failed(key, breakerSettings(a.endpoint.server), func(since time.Time) outcome.Tally {
		return a.service.opts.Window.Tool(key.Server, key.Tool, key.Region, since)
	})
}

func breakerSettings(server *policyv1.Server) breaker.Settings {
	b := server.GetBreaker()
	return breaker.Settings{
		Disabled: b.GetDisabled(), Failures: b.GetFailures(),
		OpenFor: b.GetOpenFor().AsDuration(), MaxOpenFor: b.GetMaxOpenFor().AsDuration(),
	}
}

// byStatus acts on the statuses by which HTTP itself says whose fault it is.
func (a *attempt) byStatus(h headers) (said bool, err error) {
	switch a.held.status {
	case http.StatusTooManyRequests:
		a.observe(outcome.Busy)
		key := breaker.Key{Server: a.call.GetServer(), Tool: a.call.GetTool(), Region: a.endpoint.region}
		if key.Tool != "" {
			a.service.opts.Breakers.Busy(key, a.call.GetPrincipal(), retryAfter(h, time.Now()))
		}
		return true, a.judged(outcome.TooBusy, false, false)
	case http.StatusRequestTimeout:
		if said, err := a.byTests(false); said {
			return true, err
		}
		return true, a.judged(a.observe(outcome.Failed), false, false)
	case http.StatusUnauthorized, http.StatusForbidden:
		a.observe(outcome.Refused)
		return true, a.refusal(h)
	}
	return false, nil
}

const (
	// defaultRetryAfter stands for a 429 that does not say how long.
	defaultRetryAfter = time.Second
	// maxRetryAfter bounds what a server can make of it: callers are told no more.
	maxRetryAfter = time.Hour
)

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds, or a date. What is neither counts as
// absent; the result is 0 to maxRetryAfter.
func retryAfter(h headers, now time.Time) time.Duration {
	value := h.first("retry-after")
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		// Out of range is a number too: ParseUint gives the largest one then.
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second //nolint:gosec // at most an hour
	}
	if date, err := http.ParseTime(value); err == nil {
		return min(max(0, date.Sub(now)), maxRetryAfter)
	}
	return defaultRetryAfter
}
