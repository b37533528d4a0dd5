package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
)

// Failback lets callers go back to regions that they are kept away from; see holdfast.admin.v1.Admin.Failback.
func (b *Backend) Failback(_ context.Context, request *adminv1.FailbackRequest, author string) (*adminv1.FailbackResponse, error) {
	m := b.plane.monitor
	if m == nil {
		return nil, api.ErrNotMeasured
	}
	known, ok := m.Statuses(request.GetServer())
	if !ok || request.GetServer() == "" {
		return nil, unknownError("server", request.GetServer(), b.plane.serverNames())
	}
	var regions []string
	for _, r := range known[0].Regions {
		regions = append(regions, r.Region)
	}
	if request.GetRegion() != "" && !slices.Contains(regions, request.GetRegion()) {
		return nil, unknownError("region", request.GetRegion(), regions)
	}
	back, err := m.FailBack(request.GetServer(), request.GetRegion(), operatorPrefix+author, request.GetReason())
	switch {
	case errors.Is(err, outlier.ErrNotHeld):
		return nil, cannotError{error: err, kind: api.ErrNotHeld}
	case errors.Is(err, outlier.ErrNotWell):
		return nil, cannotError{error: err, kind: api.ErrNotWell}
	case err != nil:
		return nil, err
	}
	return &adminv1.FailbackResponse{Regions: back}, nil
}

// cannotError is an error in its own words, of a kind that api.CodeOf knows.
type cannotError struct {
	error
	kind error
}

func (e cannotError) Unwrap() []error { return []error{e.error, e.kind} }

func (p *Plane) serverNames() []string {
	var out []string
	for _, s := range p.Status().Servers {
		out = append(out, s.Name)
	}
	return out
}

// Promote makes a region the first one of a server; see holdfast.admin.v1.Admin.Promote and, for
// its other errors, Apply.
func (b *Backend) Promote(ctx context.Context, request *adminv1.PromoteRequest, author string) (*adminv1.ApplyResponse, error) {
	reason := request.GetReason()
	if reason == "" {
		reason = fmt.Sprintf("%s of %s is promoted", request.GetRegion(), request.GetServer())
	}
	answer, err := b.write(ctx, writing{
		origin: revisions.Origin{Author: author, Reason: reason}, dryRun: request.GetDryRun(),
		change: func(before revisions.Set) (revisions.Set, error) {
			return b.plane.promoted(before, request.GetServer(), request.GetRegion(), request.GetForce())
		},
	})
	if err != nil || request.GetDryRun() || b.plane.monitor == nil {
		return answer, err
	}
	// Who makes a region the first one wants calls there.
	_, err = b.plane.monitor.FailBack(request.GetServer(), request.GetRegion(), operatorPrefix+author, reason)
	if err != nil && !errors.Is(err, outlier.ErrNotHeld) && !errors.Is(err, outlier.ErrNotWell) {
		b.plane.log.WarnContext(ctx, "callers of a promoted region", "server", request.GetServer(), "region", request.GetRegion(), "error", err)
	}
	return answer, nil
}

// promoteByTiers is for a region that is given up where the configuration lets the control plane do it.
func (p *Plane) promoteByTiers(ctx context.Context, server, from, to string) error {
	_, err := p.Backend().write(ctx, writing{
		origin: revisions.Origin{Author: ownAuthor, Reason: fmt.Sprintf("%s of %s is given up: %s is promoted", from, server, to)},
		how:    rollout.Proposal{Atomic: true}, own: true,
		change: func(before revisions.Set) (revisions.Set, error) { return p.promoted(before, server, to, false) },
	})
	return err
}

// promoted gives the content with a region of a server first. Whoever has the turn may call it.
func (p *Plane) promoted(before revisions.Set, server, region string, force bool) (revisions.Set, error) {
	cfg, err := p.writer.index.Parse(revisions.Files(before.Resources))
	if err != nil {
		return revisions.Set{}, err
	}
	i := slices.IndexFunc(cfg.Servers, func(s config.MCPServer) bool { return s.Metadata.Name == server })
	if i < 0 {
		names := make([]string, 0, len(cfg.Servers))
		for _, s := range cfg.Servers {
			names = append(names, s.Metadata.Name)
		}
		return revisions.Set{}, unknownError("server", server, names)
	}
	spec := cfg.Servers[i].Spec
	if err := p.promotable(server, spec, region, force); err != nil {
		return revisions.Set{}, err
	}
	ref := revisions.Ref{Kind: config.KindMCPServer, Name: server}
	resource, ok := before.Get(ref)
	if !ok {
		return revisions.Set{}, fmt.Errorf("%w: %s", revisions.ErrNotFound, ref)
	}
	text, _, err := config.Promoted([]byte(resource.YAML), region)
	if err != nil {
		return revisions.Set{}, invalidError{err}
	}
	return revisions.Rewrite(before, ref, string(text))
}

// promotable says why a region cannot be the first one.
func (p *Plane) promotable(server string, spec config.MCPServerSpec, region string, force bool) error {
	var all []string
	for _, r := range spec.Regions {
		all = append(all, r.Name)
	}
	switch {
	case !slices.Contains(all, region):
		return unknownError("region of "+server, region, all)
	case !slices.ContainsFunc(spec.Resident(), func(r config.Region) bool { return r.Name == region }):
		return invalidError{fmt.Errorf("residency of server %q keeps all calls out of %s", server, region)}
	case spec.Failover.Mode == config.ActiveActive:
		return invalidError{fmt.Errorf("server %q has no first region: with mode %s all of them share the calls", server, spec.Failover.Mode)}
	case spec.Failover.Prefer != "":
		return invalidError{fmt.Errorf("regions of server %q are ordered by %s: change their labels instead", server, spec.Failover.Prefer)}
	case !force && p.monitor != nil && !p.monitor.Fit(server, region):
		return cannotError{error: fmt.Errorf("%s of server %q is not well itself; with force it is promoted all the same", region, server), kind: api.ErrNotWell}
	}
	return nil
}
