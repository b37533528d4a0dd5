package control

import (
	"context"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

const (
	// watchInterval is the least time between two statuses of one watch.
	watchInterval = 100 * time.Millisecond
	// watchRefresh is how often a watch looks by itself: that a node is silent is a
	// matter of time alone.
	watchRefresh = time.Second
)

// Status reports on the whole control plane; see holdfast.admin.v1.Admin.Status.
func (b *Backend) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	return statusMessage(b.plane.Status()), nil
}

// Watch gives the status at once and again after changes, at most ten times a second;
// see holdfast.admin.v1.Admin.Watch. It ends with ctx, or with an error of send.
func (b *Backend) Watch(ctx context.Context, send func(*adminv1.StatusResponse) error) error {
	var last *adminv1.StatusResponse
	timer := time.NewTimer(0)
	defer timer.Stop()
	wait := func(changed <-chan struct{}, limit time.Duration) error {
		timer.Reset(limit)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		return nil
	}
	for {
		changed := b.plane.change()
		if now := statusMessage(b.plane.Status()); last == nil || !proto.Equal(last, now) {
			if err := send(now); err != nil {
				return err
			}
			last = now
		}
		// Changes that come meanwhile are in changed.
		if err := wait(nil, watchInterval); err != nil {
			return err
		}
		if err := wait(changed, watchRefresh); err != nil {
			return err
		}
	}
}

// change gives what is closed when the status may have changed.
func (p *Plane) change() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func statusMessage(s status.Status) *adminv1.StatusResponse {
	out := &adminv1.StatusResponse{
		Ready: s.Ready, Reason: s.Reason, ProgramVersion: s.Version, Started: timestamppb.New(s.Started), Problems: s.Problems, Warnings: s.Warnings,
	}
	if h := s.Head; h != nil {
		out.Revision = &adminv1.Revision{
			Number: h.Number, Version: h.Version, Author: h.Author, Reason: h.Reason, Time: timestamppb.New(h.Time),
			RollbackOf: h.RollbackOf, Changes: h.Changes,
		}
	}
	if r := s.Revision; r != nil {
		out.Rollout = &adminv1.Rollout{
			Version: r.Version, Phase: r.Phase, Since: timestamppb.New(r.Since), Active: r.Active, Next: r.Next, Canaries: r.Canaries, HeldBy: r.HeldBy,
			Number: r.Number,
		}
	}
	if r := s.Refused; r != nil {
		out.Refused = &adminv1.Refused{Error: r.Error, At: timestamppb.New(r.At), Standing: r.Standing}
	}
	if r := s.Rejected; r != nil {
		out.Rejected = &adminv1.Rejected{Version: r.Version, Node: r.Node, Type: r.Type, Detail: r.Detail, At: timestamppb.New(r.At), TakenBack: r.TakenBack}
	}
	for _, pinned := range s.Pinned {
		kind, name, _ := strings.Cut(pinned, "/")
		out.Pinned = append(out.Pinned, &adminv1.ResourceRef{Kind: kind, Name: name})
	}
	for _, n := range s.Nodes {
		out.Nodes = append(out.Nodes, nodeMessage(n))
	}
	for _, server := range s.Servers {
		out.Servers = append(out.Servers, serverMessage(server))
	}
	for _, r := range s.Routes {
		out.Routes = append(out.Routes, &adminv1.Route{Name: r.Name, Path: r.Path, Servers: r.Servers, ToolRules: count(r.ToolRules)})
	}
	for _, breaker := range s.Breakers {
		out.Breakers = append(out.Breakers, breakerMessage(breaker))
	}
	for _, drain := range s.Drains {
		out.Drains = append(out.Drains, drainMessage(drain))
	}
	return out
}

func nodeMessage(n status.Node) *adminv1.Node {
	out := &adminv1.Node{
		Id: n.ID, Kind: n.Kind, Region: n.Region, UserAgent: n.UserAgent, Protocol: n.Protocol, ConnectedSince: timestamppb.New(n.ConnectedSince),
		Sync: string(n.Sync), Late: n.Late, Revisions: n.Revisions, Types: make(map[string]*adminv1.NodeType, len(n.Types)),
	}
	if n.SilentSince != nil {
		out.SilentSince = timestamppb.New(*n.SilentSince)
	}
	for name, t := range n.Types {
		out.Types[name] = &adminv1.NodeType{Acked: t.Acked, Resources: count(t.Resources), Pending: t.Pending}
	}
	if k := n.Nack; k != nil {
		out.Nack = &adminv1.Nack{Revision: k.Revision, Type: k.Type, Detail: k.Detail, At: timestamppb.New(k.At), Standing: k.Standing}
	}
	return out
}

func serverMessage(s status.Server) *adminv1.Server {
	out := &adminv1.Server{Name: s.Name}
	for _, r := range s.Regions {
		region := &adminv1.Region{Name: r.Name}
		for _, e := range r.Endpoints {
			region.Endpoints = append(region.Endpoints, &adminv1.Endpoint{Name: e.Name, Address: e.Address})
		}
		out.Regions = append(out.Regions, region)
	}
	return out
}

// count fits a number of things into its field.
func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }
