package extproc

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/breaker"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// steering is what breakers have to say about a call. The zero value is nothing.
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

// steer keeps a call away from regions where its tool is broken, or refuses it where
// there is no other. Calls of a session stay with it.
func (e *edge) steer() {
	call := e.decision.Call
	if e.service.opts.Breakers.Quiet() || call.GetTool() == "" || e.decision.InSession {
		return
	}
	server, ok := e.decision.Route.Server(call.GetServer())
	if !ok || len(server.GetRegions()) == 0 {
		return
	}
	action := e.decision.Action
	choice := e.service.opts.Breakers.Choose(breaker.Ask{
		Server: call.GetServer(), Tool: call.GetTool(), Principal: call.GetPrincipal(),
		Regions: server.GetRegions(), Safe: call.GetSafe(),
		Lease: time.Duration(action.GetAttempts())*action.GetPerTryTimeout().AsDuration() + leaseSlack + longestWait(server, action),
		Why:   e.trace != nil,
	})
	e.steering = steering{subset: subset(server.GetRegions(), choice.Good), trial: choice.Trial}
	if choice.Trial != nil && e.trace != nil {
		call.TrialRegion = choice.Trial.Region()
	}
	refused := choice.None && !e.decision.OnlyFallback()
	e.trace.steered(choice, refused)
	if refused {
		answer := degrade.Render(call, nowhere(call, choice, e.request.RequestID), e.decision.Route.Policy().GetErrors())
		e.decision.Answer = &answer
		return
	}
	if e.steering.subset != nil {
		e.debug("steered", "regions", choice.Good)
	}
}

// longestWait is how long the call may be in the queue before its tries begin.
func longestWait(server *policyv1.Server, action *policyv1.Action) time.Duration {
	return max(server.GetConcurrency().GetMaxWait().AsDuration(), action.GetConcurrency().GetMaxWait().AsDuration())
}

// subset is the load balancer's metadata for a call that may go to some regions
// only. One region is left out by {avoid: it}, which keeps the others' order and their
// part in retries; where several are, the first good one is all that can be said.
func subset(regions, good []string) *structpb.Struct {
	if len(good) == 0 {
		return nil
	}
	key, value := names.LBRegion, good[0]
	if len(good) == len(regions)-1 {
		for _, r := range regions {
			if !slices.Contains(good, r) {
				key, value = names.LBAvoid, r
			}
		}
	}
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
