package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// operatorPrefix stands before the name of whoever holds a breaker; processors have none.
const operatorPrefix = "operator "

// breakers gives those that are not closed or that an operator holds. What an operator says
// hides what answers say.
func (p *Plane) breakers() []status.Breaker {
	overrides := p.outcomes.Overrides()
	held := make(map[outcomes.Key]bool, len(overrides))
	var out []status.Breaker
	for _, o := range overrides {
		held[outcomes.Key{Server: o.GetServer(), Tool: o.GetTool(), Region: o.GetRegion()}] = true
		out = append(out, status.Breaker{
			Server: o.GetServer(), Tool: o.GetTool(), Region: o.GetRegion(), State: stateWord(o.GetState()), Since: o.GetSince().AsTime(),
			Reason: o.GetReason(), By: o.GetBy(), Held: true, Until: moment(o.GetUntil()),
		})
	}
	for _, b := range p.outcomes.Breakers() {
		key := outcomes.Key{Server: b.GetServer(), Tool: b.GetTool(), Region: b.GetRegion()}
		if held[key] || held[outcomes.Key{Server: key.Server, Tool: key.Tool}] {
			continue
		}
		out = append(out, status.Breaker{
			Server: b.GetServer(), Tool: b.GetTool(), Region: b.GetRegion(), State: stateWord(b.GetState()), Since: b.GetSince().AsTime(),
			RetryAt: moment(b.GetRetryAt()), Reason: b.GetReason(), By: b.GetBy(), Openings: b.GetOpenings(),
		})
	}
	slices.SortFunc(out, func(a, b status.Breaker) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.Region, b.Region))
	})
	return out
}

func moment(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

func stateWord(s outcomev1.BreakerState) string {
	switch s {
	case outcomev1.BreakerState_BREAKER_STATE_OPEN:
		return status.BreakerOpen
	case outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN:
		return status.BreakerHalfOpen
	default:
		return status.BreakerClosed
	}
}

func breakerMessage(b status.Breaker) *adminv1.Breaker {
	out := &adminv1.Breaker{
		Server: b.Server, Tool: b.Tool, Region: b.Region, Since: timestamppb.New(b.Since), Reason: b.Reason, By: b.By,
		Openings: b.Openings, Held: b.Held, State: adminv1.BreakerState_BREAKER_STATE_CLOSED,
	}
	switch b.State {
	case status.BreakerOpen:
		out.State = adminv1.BreakerState_BREAKER_STATE_OPEN
	case status.BreakerHalfOpen:
		out.State = adminv1.BreakerState_BREAKER_STATE_HALF_OPEN
	}
	if b.RetryAt != nil {
		out.RetryAt = timestamppb.New(*b.RetryAt)
	}
	if b.Until != nil {
		out.Until = timestamppb.New(*b.Until)
	}
	return out
}

// ListBreakers gives breakers and verdicts; see holdfast.admin.v1.Admin.ListBreakers.
func (b *Backend) ListBreakers(_ context.Context, request *adminv1.ListBreakersRequest) (*adminv1.ListBreakersResponse, error) {
	p := b.plane
	key := outcomes.Key{Server: request.GetServer(), Tool: request.GetTool(), Region: request.GetRegion()}
	if err := p.checkBreaker(key, false); err != nil {
		return nil, err
	}
	wanted := func(server, tool, region string) bool {
		// A breaker of every region is one of each.
		return (key.Server == "" || key.Server == server) && (key.Tool == "" || key.Tool == tool) &&
			(key.Region == "" || region == "" || key.Region == region)
	}
	out := &adminv1.ListBreakersResponse{Processors: p.outcomes.Processors()}
	for _, one := range p.breakers() {
		if wanted(one.Server, one.Tool, one.Region) {
			out.Breakers = append(out.Breakers, breakerMessage(one))
		}
	}
	for _, v := range p.outcomes.Verdicts() {
		if wanted(v.Server, v.Tool, v.Region) {
			out.Verdicts = append(out.Verdicts, &adminv1.ToolVerdicts{
				Server: v.Server, Method: v.Method, Tool: v.Tool, Region: v.Region, Endpoint: v.Endpoint,
				Recent: countsMessage(v.Recent), Minute: countsMessage(v.Minute),
			})
		}
	}
	return out, nil
}

func countsMessage(c outcomes.Counts) *adminv1.VerdictCounts {
	return &adminv1.VerdictCounts{Good: c.Good, Failed: c.Failed, Busy: c.Busy}
}

// SetBreaker holds a breaker, or takes that back; see holdfast.admin.v1.Admin.SetBreaker. Errors are
// those that api.CodeOf knows; after any of them nothing has changed.
func (b *Backend) SetBreaker(ctx context.Context, request *adminv1.SetBreakerRequest, author string) (*adminv1.SetBreakerResponse, error) {
	p := b.plane
	key := outcomes.Key{Server: request.GetServer(), Tool: request.GetTool(), Region: request.GetRegion()}
	word := &outcomev1.Override{
		Server: key.Server, Tool: key.Tool, Region: key.Region, Until: request.GetUntil(),
		By: operatorPrefix + author, Reason: request.GetReason(), State: outcomev1.BreakerState_BREAKER_STATE_OPEN,
	}
	var err error
	switch request.GetHold() {
	case adminv1.BreakerHold_BREAKER_HOLD_AUTO:
		err = p.takeBackBreaker(key)
	case adminv1.BreakerHold_BREAKER_HOLD_CLOSED:
		word.State = outcomev1.BreakerState_BREAKER_STATE_CLOSED
		err = p.holdBreaker(key, word, request.GetUnlistedTool())
	case adminv1.BreakerHold_BREAKER_HOLD_OPEN:
		err = p.holdBreaker(key, word, request.GetUnlistedTool())
	default:
		err = invalidError{errors.New("hold: open, closed or auto")}
	}
	if err != nil {
		return nil, err
	}
	list, err := b.ListBreakers(ctx, &adminv1.ListBreakersRequest{})
	if err != nil {
		return nil, err
	}
	others := func(one *adminv1.Breaker) bool { return one.GetServer() != key.Server || one.GetTool() != key.Tool }
	return &adminv1.SetBreakerResponse{Breakers: slices.DeleteFunc(list.GetBreakers(), others)}, nil
}

func (p *Plane) holdBreaker(key outcomes.Key, word *outcomev1.Override, unlisted bool) error {
	if until := word.GetUntil(); until != nil && !until.AsTime().After(p.now()) {
		return invalidError{fmt.Errorf("until: %s is over", until.AsTime().UTC().Format(time.RFC3339))}
	}
	if err := p.checkBreaker(key, unlisted); err != nil {
		return err
	}
	return p.outcomes.SetOverride(word)
}

// takeBackBreaker works for names that the configuration has no more, too.
func (p *Plane) takeBackBreaker(key outcomes.Key) error {
	err := p.outcomes.TakeBack(key)
	if !errors.Is(err, outcomes.ErrNoOverride) {
		return err
	}
	if unknown := p.checkBreaker(key, true); unknown != nil {
		return unknown
	}
	return err
}

// checkBreaker says which of the names that are given is not known, and what was probably meant.
func (p *Plane) checkBreaker(key outcomes.Key, unlisted bool) error {
	servers := p.Status().Servers
	names := make([]string, 0, len(servers))
	var regions []string
	for _, s := range servers {
		names = append(names, s.Name)
		if key.Server != "" && s.Name != key.Server {
			continue
		}
		for _, r := range s.Regions {
			if !slices.Contains(regions, r.Name) {
				regions = append(regions, r.Name)
			}
		}
	}
	if key.Server != "" && !slices.Contains(names, key.Server) {
		return unknownError("server", key.Server, names)
	}
	of := ""
	if key.Server != "" {
		of = fmt.Sprintf(" of server %q", key.Server)
		if err := p.checkTool(key, unlisted); err != nil {
			return err
		}
	}
	if key.Region != "" && !slices.Contains(regions, key.Region) {
		return unknownError("region"+of, key.Region, regions)
	}
	return nil
}

// checkTool: where a list of the server has been seen, a tool is one that the list names or that
// has answered; where none has, any name may be one, unless it looks like a misspelt one.
func (p *Plane) checkTool(key outcomes.Key, unlisted bool) error {
	if key.Tool == "" || unlisted {
		return nil
	}
	listed := p.catalog.Tools(key.Server)
	known := slices.Compact(slices.Sorted(slices.Values(slices.Concat(listed, p.outcomes.Known(key.Server)))))
	if slices.Contains(known, key.Tool) || len(listed) == 0 && config.Suggest(key.Tool, known) == "" {
		return nil
	}
	return unknownError(fmt.Sprintf("tool of server %q", key.Server), key.Tool, known)
}

// unknownError names what there is: the one that was probably meant, or some of all.
func unknownError(what, word string, known []string) error {
	const shown = 8
	switch near := config.Suggest(word, known); {
	case near != "":
		return fmt.Errorf("%w: there is no %s named %q; did you mean %q?", api.ErrUnknown, what, word, near)
	case len(known) == 0:
		return fmt.Errorf("%w: there is no %s named %q, nor any other", api.ErrUnknown, what, word)
	case len(known) > shown:
		return fmt.Errorf("%w: there is no %s named %q; there are %q and %d more", api.ErrUnknown, what, word, known[:shown], len(known)-shown)
	default:
		return fmt.Errorf("%w: there is no %s named %q; there are %q", api.ErrUnknown, what, word, known)
	}
}
