package extproc

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// steering is what breakers and shares have to say about a call. The zero value is nothing.
type steering struct {
	// subset for Envoy's load balancer; nil lets the call go anywhere.
	subset *structpb.Struct
	// trial that the call is; nil for almost all.
	trial *breaker.Trial
}

// end gives a trial back whose call told nothing.
func (s *steering) end() {
	if s.trial != nil {
		s.trial.Void()
	}
}

// leaseSlack is added to what a trial's tries may take.
const leaseSlack = time.Second

// steer keeps a call away from regions where its tool is broken, and from those that its caller is sent
// away from, or refuses it where its tool is broken everywhere. What belongs to a session stays with it.
func (e *edge) steer() {
	call := e.decision.Call
	if e.service.opts.Breakers.Quiet() && e.service.opts.Shares.Quiet() || call == nil || e.decision.InSession {
		return
	}
	server, ok := e.decision.Route.Server(call.GetServer())
	if !ok || len(server.GetRegions()) == 0 {
		return
	}
	regions := server.GetRegions()
	place := e.service.opts.Shares.Choose(call.GetServer(), call.GetPrincipal(), regions)
	possible := regions
	if place.Possible != nil {
		possible = place.Possible
	}
	if choice := e.working(server, possible); choice.None {
		if !e.decision.OnlyFallback() {
			e.decision.Answer = e.instead(e.resident(nowhere(call, choice, e.request.RequestID), true), true, false)
		}
		return
	} else if choice.Good != nil {
		possible = choice.Good
		e.decision.OnlyFirst()
	}
	preferred := possible
	if place.Preferred != nil {
		both := slices.DeleteFunc(slices.Clone(possible), func(r string) bool { return !slices.Contains(place.Preferred, r) })
		if len(both) > 0 {
			preferred = both
		}
		e.trace.sentAway(regions, place)
	}
	if trial := e.steering.trial; trial != nil && !slices.Contains(preferred, trial.Region()) {
		// Another caller tries, one that is not sent away from there.
		e.steering.end()
		e.steering.trial, call.TrialRegion = nil, ""
	}
	if e.steering.subset = subsets(server, preferred, possible); e.steering.subset != nil {
		e.debug("steered", "regions", preferred)
	}
}

// working asks the breakers in which of some regions a call's tool works, and begins its trial
// where it is one.
func (e *edge) working(server *policyv1.Server, regions []string) breaker.Choice {
	call, action := e.decision.Call, e.decision.Action
	if e.service.opts.Breakers.Quiet() || call.GetTool() == "" {
		return breaker.Choice{}
	}
	choice := e.service.opts.Breakers.Choose(breaker.Ask{
		Server: call.GetServer(), Tool: call.GetTool(), Principal: call.GetPrincipal(),
		Regions: regions, Safe: call.GetSafe(),
		Lease: time.Duration(action.GetAttempts())*action.GetPerTryTimeout().AsDuration() + leaseSlack + longestWait(server, action),
		Why:   e.trace != nil,
	})
	e.steering.trial = choice.Trial
	if choice.Trial != nil && e.trace != nil {
		call.TrialRegion = choice.Trial.Region()
	}
	e.trace.steered(choice, choice.None && !e.decision.OnlyFallback())
	return choice
}

// subsets is the load balancer's metadata for a call that may go to possible regions, and prefers
// some of them while they have an endpoint that is up; nil where that is anywhere.
func subsets(server *policyv1.Server, preferred, possible []string) *structpb.Struct {
	regions := server.GetRegions()
	if len(preferred) == len(possible) {
		if len(possible) == len(regions) {
			return nil
		}
		return subset(server, possible)
	}
	then := &structpb.Struct{}
	if len(possible) < len(regions) {
		then = subset(server, possible)
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{names.LBFallbackList: structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{
		structpb.NewStructValue(subset(server, preferred)), structpb.NewStructValue(then),
	}})}}
}

// longestWait is how long the call may be in the queue before its tries begin.
func longestWait(server *policyv1.Server, action *policyv1.Action) time.Duration {
	return max(server.GetConcurrency().GetMaxWait().AsDuration(), action.GetConcurrency().GetMaxWait().AsDuration())
}

// subset is the load balancer's metadata for a call that may go to some regions
// only; nil where it may go to all, or to none.
func subset(server *policyv1.Server, good []string) *structpb.Struct {
	if len(good) == 0 {
		return nil
	}
	key, value := names.Subset(server.GetName(), server.GetRegions(), good)
	return &structpb.Struct{Fields: map[string]*structpb.Value{key: structpb.NewStringValue(value)}}
}

// nowhere is why a call is refused whose tool is broken, or busy, in every region.
func nowhere(call *policyv1.CallContext, choice breaker.Choice, id string) degrade.Cause {
	code := degrade.DependencyFailed
	if choice.Busy {
		code = degrade.RateLimited
	}
	cause := degrade.New(code, degrade.NotExecuted, call, id)
	cause.RetryAfter = max(time.Second, time.Until(choice.RetryAt))
	return cause
}

// resident says of a call that found no region which jurisdictions it may not leave, where there are such.
func (e *edge) resident(c degrade.Cause, nowhere bool) degrade.Cause {
	server, ok := e.decision.Route.Server(c.Server)
	if ok && nowhere && len(server.GetResidency()) > 0 {
		c.Message += " It may only be answered in the jurisdictions " + strings.Join(server.GetResidency(), ", ") + ", and no region outside them was asked."
	}
	return c
}

// busy is what a caller is told when every region that was asked has said 429.
func busy(call *policyv1.CallContext, id string, h headers) degrade.Cause {
	cause := degrade.New(degrade.RateLimited, degrade.NotExecuted, call, id)
	cause.RetryAfter = max(time.Second, retryAfter(h, time.Now()))
	return cause
}

// learn ends a trial by what its call came to.
func (e *edge) learn(h headers, local degrade.Local, report outcome.Report, judged bool) {
	trial := e.steering.trial
	if trial == nil {
		return
	}
	region := h.first(names.HeaderRegion)
	failed := judged && failing(report.Verdict)
	second := h.first(names.HeaderDegraded) == degrade.SourceFallback
	switch {
	case judged && report.Verdict == outcome.TooBusy, local.Attempts == 0, second && local.Attempts == 1:
		trial.Void()
	case second:
		// The second provider has answered, in whatever region: the first has not.
		trial.Failed()
	case region == trial.Region() && !failed:
		trial.Good()
	case region != trial.Region() && local.Attempts <= 1 && region != "":
		trial.Void()
	default:
		trial.Failed()
	}
	e.steering.trial = nil
}
