package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/drains"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// defaultDrainSessions is how long the sessions of what is drained go on.
const defaultDrainSessions = 5 * time.Minute

// openDrains begins with what was drained at the last stop.
func (p *Plane) openDrains() {
	saved, err := p.state.LoadDrains()
	if err != nil {
		p.drainsProblem = err.Error()
		p.log.Warn("saved drains are not usable; nothing is drained", "error", err)
	}
	p.drains = drains.New(drains.Options{Drains: saved, Save: p.state.SaveDrains, Changed: p.drainsChanged, Now: p.now})
	for _, d := range p.drains.List() {
		p.dueByDrain(d.Target)
	}
}

// drainsChanged has everything looked at again: it is rare, and asked for by a person.
func (p *Plane) drainsChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drainsProblem = ""
	for name := range p.health.told {
		p.health.due[name] = true
	}
	for _, d := range p.drains.List() {
		p.dueByDrain(d.Target)
	}
	tell(p.health.wake)
	p.touch()
}

// dueByDrain notes which servers a drain is about.
func (p *Plane) dueByDrain(t drains.Target) {
	if t.Server != "" {
		p.health.due[t.Server] = true
		return
	}
	for server, regions := range p.health.regions {
		if slices.Contains(regions, t.Region) {
			p.health.due[server] = true
		}
	}
}

// drainStatus gives what is drained, for the status.
func (p *Plane) drainStatus() []status.Drain {
	var out []status.Drain
	for _, d := range p.drains.List() {
		one := status.Drain{
			Server: d.Server, Region: d.Region, Endpoint: d.Endpoint, Since: d.Since, SessionsUntil: d.SessionsUntil, By: d.By, Reason: d.Reason,
		}
		if !d.Until.IsZero() {
			one.Until = &d.Until
		}
		out = append(out, one)
	}
	return out
}

func drainMessage(d status.Drain) *adminv1.Drain {
	out := &adminv1.Drain{
		Server: d.Server, Region: d.Region, Endpoint: d.Endpoint, Since: timestamppb.New(d.Since),
		SessionsUntil: timestamppb.New(d.SessionsUntil), By: d.By, Reason: d.Reason,
	}
	if d.Until != nil {
		out.Until = timestamppb.New(*d.Until)
	}
	return out
}

func (p *Plane) drainMessages() []*adminv1.Drain {
	var out []*adminv1.Drain
	for _, d := range p.drainStatus() {
		out = append(out, drainMessage(d))
	}
	return out
}

// ListDrains gives what is drained; see holdfast.admin.v1.Admin.ListDrains.
func (b *Backend) ListDrains(context.Context, *adminv1.ListDrainsRequest) (*adminv1.ListDrainsResponse, error) {
	return &adminv1.ListDrainsResponse{Drains: b.plane.drainMessages()}, nil
}

// SetDrain drains, or takes that back; see holdfast.admin.v1.Admin.SetDrain. Errors are
// those that api.CodeOf knows; after any of them nothing has changed.
func (b *Backend) SetDrain(_ context.Context, request *adminv1.SetDrainRequest, author string) (*adminv1.SetDrainResponse, error) {
	p := b.plane
	var err error
	if request.GetUndrain() {
		err = p.undrain(request)
	} else {
		err = p.drain(request, author)
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.SetDrainResponse{Drains: p.drainMessages()}, nil
}

func (p *Plane) drain(request *adminv1.SetDrainRequest, author string) error {
	now := p.now()
	sessions := defaultDrainSessions
	if request.GetSessions() != nil {
		sessions = request.GetSessions().AsDuration()
	}
	d := drains.Drain{Since: now, SessionsUntil: now.Add(sessions), By: operatorPrefix + author, Reason: request.GetReason()}
	if until := request.GetUntil(); until != nil {
		if d.Until = until.AsTime(); !d.Until.After(now) {
			return invalidError{fmt.Errorf("until: %s is over", d.Until.UTC().Format(time.RFC3339))}
		}
	}
	servers := p.Status().Servers
	var err error
	if d.Target, err = drainTarget(servers, request.GetServer(), request.GetTarget()); err != nil {
		return err
	}
	if !request.GetForce() {
		if err := p.leavesSomething(servers, d); err != nil {
			return err
		}
	}
	return p.drains.Set(d)
}

// drainTarget finds what a name means.
func drainTarget(servers []status.Server, server, name string) (drains.Target, error) {
	var known, names, endpoints []string
	region := false
	for _, s := range servers {
		known = append(known, s.Name)
		if server != "" && s.Name != server {
			continue
		}
		for _, r := range s.Regions {
			region = region || r.Name == name
			names = append(names, r.Name)
			for _, e := range r.Endpoints {
				if e.Name == name {
					endpoints = append(endpoints, s.Name)
				}
				names = append(names, e.Name)
			}
		}
	}
	switch {
	case server != "" && !slices.Contains(known, server):
		return drains.Target{}, unknownError("server", server, known)
	case region:
		return drains.Target{Server: server, Region: name}, nil
	case len(endpoints) == 1:
		return drains.Target{Server: endpoints[0], Endpoint: name}, nil
	case len(endpoints) > 1:
		return drains.Target{}, invalidError{fmt.Errorf("the servers %q have an endpoint %q each: name the server", endpoints, name)}
	}
	slices.Sort(names)
	return drains.Target{}, unknownError("region or endpoint", name, slices.Compact(names))
}

// errNothingLeft is what a drain without force may not do.
type errNothingLeft struct{ words string }

func (e errNothingLeft) Error() string { return e.words }
func (errNothingLeft) Unwrap() error   { return api.ErrNothingLeft }

// leavesSomething says of which server no healthy region would be left.
func (p *Plane) leavesSomething(servers []status.Server, d drains.Drain) error {
	// As it would be with the drain, when its sessions have ended.
	d.SessionsUntil = d.Since
	with := drains.New(drains.Options{Drains: append(p.drains.List(), d), Now: p.now})
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range servers {
		touched := slices.ContainsFunc(s.Regions, func(r status.Region) bool {
			return d.Region == r.Name || slices.ContainsFunc(r.Endpoints, func(e status.Endpoint) bool { return e.Name == d.Endpoint })
		})
		if d.Server != "" && d.Server != s.Name || !touched {
			continue
		}
		if out := nothingLeft(s, with.Over(s.Name, p.health.measured[s.Name])); out != "" {
			return errNothingLeft{fmt.Sprintf("no healthy region of server %q would be left: %s; with force it is done all the same", s.Name, out)}
		}
	}
	return nil
}

// nothingLeft says how every region is; empty where one has an endpoint that gets calls.
func nothingLeft(s status.Server, h model.Health) string {
	var out []string
	for _, r := range s.Regions {
		why := "unhealthy"
		for _, e := range r.Endpoints {
			is := h.Endpoints[e.Name]
			switch {
			case h.Regions[r.Name] != model.Healthy, is.Ordered:
				why = "drained"
			case is.State < model.Draining:
				return ""
			}
		}
		out = append(out, r.Name+" "+why)
	}
	return strings.Join(out, ", ")
}

// undrain works for names that the configuration has no more, too.
func (p *Plane) undrain(request *adminv1.SetDrainRequest) error {
	var found []drains.Target
	var others []string
	for _, d := range p.drains.List() {
		switch {
		case d.Region != request.GetTarget() && d.Endpoint != request.GetTarget():
		case request.GetServer() == "" || d.Server == request.GetServer():
			found = append(found, d.Target)
		case d.Server == "":
			others = append(others, "every server")
		default:
			others = append(others, d.Server)
		}
	}
	if len(found) > 0 {
		return p.drains.TakeBack(found...)
	}
	if len(others) > 0 {
		return fmt.Errorf("%w for %s alone, but for %s", drains.ErrNone, request.GetServer(), strings.Join(others, ", "))
	}
	if _, err := drainTarget(p.Status().Servers, request.GetServer(), request.GetTarget()); errors.Is(err, api.ErrUnknown) {
		return err
	}
	return drains.ErrNone
}
