package control

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/succession"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

// Defaults of a canary.
const (
	defaultCanaryShare = 10
	defaultCanaryStep  = 30 * time.Minute
)

// revisionMade is what became of a change.
type revisionMade = adminv1.ApplyResponse

// ListCanaries gives the last canary of each server; see holdfast.admin.v1.Admin.ListCanaries.
func (b *Backend) ListCanaries(context.Context, *adminv1.ListCanariesRequest) (*adminv1.ListCanariesResponse, error) {
	out := &adminv1.ListCanariesResponse{}
	for _, one := range b.plane.canaries.list() {
		out.Canaries = append(out.Canaries, canaryMessage(one))
	}
	return out, nil
}

// Succeed begins, goes on with and takes back what holdfast.admin.v1.Admin.Succeed says. Errors are
// those that api.CodeOf knows.
func (b *Backend) Succeed(ctx context.Context, request *adminv1.SucceedRequest, author string) (*adminv1.SucceedResponse, error) {
	p, server := b.plane, request.GetServer()
	var one *canary
	for _, c := range p.canaries.list() {
		if c.Server == server && c.State == canaryRunning {
			one = &c
		}
	}
	begins := request.GetStep() == adminv1.SuccessionStep_SUCCESSION_STEP_START || request.GetStep() == adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH
	switch {
	case begins && one != nil:
		return nil, fmt.Errorf("%w: a canary of %s is under way, with %d %% of its callers; promote or abort that first", api.ErrSuccession, one.To, one.Share)
	case !begins && one == nil && request.GetStep() != adminv1.SuccessionStep_SUCCESSION_STEP_BACK:
		return nil, fmt.Errorf("%w: no canary of %s is under way", api.ErrSuccession, server)
	}
	if begins {
		if err := p.mayTakeOver(server, request.GetTo()); err != nil {
			return nil, err
		}
	}
	var made *revisionMade
	var err error
	switch request.GetStep() {
	case adminv1.SuccessionStep_SUCCESSION_STEP_START:
		made, err = p.startCanary(ctx, request, author)
	case adminv1.SuccessionStep_SUCCESSION_STEP_PROMOTE:
		err = p.promoteCanary(ctx, one, author, request.GetReason(), false)
	case adminv1.SuccessionStep_SUCCESSION_STEP_ABORT:
		if made, err = p.succeed(ctx, server, nil, author, request.GetReason(), false); err == nil {
			err = p.endCanary(server, one.To, canaryAborted, "by "+author+": "+request.GetReason())
		}
	case adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH:
		if err = p.smoke(ctx, request.GetTo()); err == nil {
			made, err = p.succeed(ctx, server, successor(request.GetTo(), everybody), author, request.GetReason(), false)
		}
	case adminv1.SuccessionStep_SUCCESSION_STEP_BACK:
		made, err = p.succeed(ctx, server, nil, author, request.GetReason(), false)
		if err == nil && made.GetUnchanged() {
			err = fmt.Errorf("%w: nothing has taken over from %s", api.ErrSuccession, server)
		}
	case adminv1.SuccessionStep_SUCCESSION_STEP_UNSPECIFIED:
	}
	if err != nil {
		return nil, err
	}
	out := &adminv1.SucceedResponse{Revision: made.GetRevision()}
	if made == nil {
		out.Revision = revisionMessage(p.newest().Header)
	}
	for _, c := range p.canaries.list() {
		if c.Server == server {
			out.Canary = canaryMessage(c)
		}
	}
	return out, nil
}

// mayTakeOver finds what config cannot say as well: which of two names is wrong.
func (p *Plane) mayTakeOver(server, to string) error {
	head := p.newest()
	if head == nil {
		return api.ErrNoRevision
	}
	for _, name := range []string{server, to} {
		if _, ok := head.Get(revisions.Ref{Kind: config.KindMCPServer, Name: name}); !ok {
			return fmt.Errorf("%w: there is no MCPServer %q", api.ErrUnknown, name)
		}
	}
	return nil
}

func (p *Plane) startCanary(ctx context.Context, request *adminv1.SucceedRequest, author string) (*revisionMade, error) {
	now := p.now()
	one := &canary{
		Server: request.GetServer(), To: request.GetTo(), State: canaryRunning, Share: defaultCanaryShare, Since: now, ShareSince: now,
		Each: defaultCanaryStep, By: author, Reason: request.GetReason(), trial: &succession.Trial{},
	}
	if n := request.GetShare(); n > 0 {
		one.Share = int(n)
	}
	if d := request.GetEach(); d != nil {
		one.Each = d.AsDuration()
	}
	made, err := p.succeed(ctx, one.Server, successor(one.To, one.Share), author, request.GetReason(), false)
	if err != nil {
		return nil, err
	}
	c := &p.canaries
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[one.Server] = one
	return made, c.keep()
}

// smoke has each endpoint of a server greet, list its tools, and answer the query where one is written.
func (p *Plane) smoke(ctx context.Context, server string) error {
	p.mu.Lock()
	var watched []model.Watched
	if p.head != nil {
		if r := p.revisions[p.head.Version]; r != nil {
			watched = r.Watched
		}
	}
	p.mu.Unlock()
	var bad []string
	found := false
	for _, w := range watched {
		if w.Name != server {
			continue
		}
		for _, l := range w.Localities {
			for _, e := range l.Endpoints {
				found = true
				if detail := smokeEndpoint(ctx, w, l.Region, e, p.opts.Version); detail != "" {
					bad = append(bad, e.Name+": "+detail)
				}
			}
		}
	}
	switch {
	case !found:
		return fmt.Errorf("%w: the control plane has not looked at %s yet", api.ErrSuccession, server)
	case len(bad) > 0:
		return fmt.Errorf("%w: %s", api.ErrSuccession, strings.Join(bad, "; "))
	}
	return nil
}

func smokeEndpoint(ctx context.Context, w model.Watched, region string, e model.Endpoint, version string) string {
	target := probe.Target{
		Server: w.Name, Region: region, Name: e.Name, Address: net.JoinHostPort(e.Host, strconv.FormatUint(uint64(e.Port), 10)), Path: w.Path, TLS: w.TLS, Probes: w.Probes,
	}
	// Both are looked at whether or not the control plane does so all the time.
	const patience = 10 * time.Second
	for _, layer := range []**model.Probe{&target.Probes.Handshake, &target.Probes.List} {
		if *layer == nil {
			*layer = &model.Probe{Timeout: patience}
		}
	}
	layers := []probe.Layer{probe.Handshake, probe.List}
	if target.Probes.Query != nil {
		layers = append(layers, probe.Query)
	}
	prober := probe.New(target, version)
	for _, layer := range layers {
		if r := prober.Probe(ctx, layer); r.Outcome != probe.Good {
			return fmt.Sprintf("%s: %s: %s", layer, r.Outcome, r.Detail)
		}
	}
	return ""
}

func canaryMessage(c canary) *adminv1.Canary {
	out := &adminv1.Canary{
		Server: c.Server, To: c.To, Share: uint32(c.Share), Since: timestamppb.New(c.Since), ShareSince: timestamppb.New(c.ShareSince), //nolint:gosec // 0 to 100
		Each: durationpb.New(c.Each), By: c.By, Reason: c.Reason, Why: c.Why,
		Calls: c.Sample.BaseCalls, Failed: c.Sample.BaseFailed, SuccessorCalls: c.Sample.NextCalls, SuccessorFailed: c.Sample.NextFailed,
	}
	if !c.Ended.IsZero() {
		out.Ended = timestamppb.New(c.Ended)
	}
	switch c.State {
	case canaryRunning:
		out.State = adminv1.CanaryState_CANARY_STATE_RUNNING
	case canaryPromoted:
		out.State = adminv1.CanaryState_CANARY_STATE_PROMOTED
	case canaryAborted:
		out.State = adminv1.CanaryState_CANARY_STATE_ABORTED
	case canaryRolledBack:
		out.State = adminv1.CanaryState_CANARY_STATE_ROLLED_BACK
	case canaryOvertaken:
		out.State = adminv1.CanaryState_CANARY_STATE_OVERTAKEN
	}
	return out
}
