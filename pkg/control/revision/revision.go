// Package revision compiles a configuration into what Envoys and processors are
// given: for each Envoy region a set of resources, for all processors one set of
// policies. A revision is whole or it does not exist.
package revision

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
)

// maxRegions bounds the regions that a revision builds for nodes that name one
// which the configuration does not have.
const maxRegions = 256

// Revision is one compiled configuration. It is safe for concurrent use.
type Revision struct {
	// Version is a hash of all content, in hex: the same configuration compiled by
	// the same program has the same version anywhere.
	Version string
	// Policies for the processors, by MCPRoute name.
	Policies resources.Group
	// Servers and Routes are the summary for people; empty after a restore.
	Servers []status.Server
	Routes  []status.Route
	// StandIns are answers that operators have written; empty after a restore.
	StandIns []config.StandIn
	// Watched is what there is to measure of the servers; nil after a restore.
	Watched []model.Watched

	compile func(region string) (*snapshot.Resources, error)
	// same gives a region that has the same resources; nil after a restore.
	same   func(region string) string
	memory *memory
	mu     sync.Mutex
	sets   map[string]*resources.Set
}

// Compiler holds what the configuration does not say.
type Compiler struct {
	// Processors, Traces and Remap as in model.Options.
	Processors []string
	Traces     string
	Remap      map[string]string

	memory *memory
}

// Remembering gives a compiler that builds only what is not equal to something that it has
// built for the revision before. The result is the same.
func (c Compiler) Remembering() Compiler {
	c.memory = &memory{}
	return c
}

// Compile builds a revision: for no region, for every region that the
// configuration names, and for the regions in also, where Envoys are connected.
// An error of any of them refuses the whole.
func (c Compiler) Compile(cfg *config.Config, also []string) (*Revision, error) {
	r := &Revision{sets: make(map[string]*resources.Set), Servers: c.servers(cfg), Routes: routes(cfg), StandIns: cfg.StandIns(), memory: c.memory}
	var err error
	if r.Watched, err = model.Watch(cfg, c.Remap); err != nil {
		return nil, err
	}
	if r.memory == nil {
		r.memory = &memory{}
	}
	r.memory.forget()
	r.compile = func(region string) (*snapshot.Resources, error) {
		m, err := model.Build(cfg, model.Options{Region: region, Processors: c.Processors, Traces: c.Traces, Remap: c.Remap})
		if err != nil {
			return nil, fmt.Errorf("resolving the configuration for region %q: %w", region, err)
		}
		built, err := r.memory.builder.Build(m)
		if err != nil {
			return nil, fmt.Errorf("building resources for region %q: %w", region, err)
		}
		return built, nil
	}
	r.same = func(region string) string { return model.SameRegion(cfg, region) }
	named := regionsOf(cfg)
	versions := make(map[string]string, len(named)+1)
	for _, region := range named {
		// The first one is "".
		if set, ok := r.sets[r.same(region)]; ok {
			r.sets[region] = set
			versions["region "+region] = set.Version()
			continue
		}
		set, policies, err := r.build(region)
		if err != nil {
			return nil, err
		}
		switch {
		case r.Policies == nil:
			r.Policies = policies
		case maps.EqualFunc(r.Policies, policies, func(a, b resources.Versioned) bool { return a.Version == b.Version }):
		default:
			return nil, fmt.Errorf("the policies for region %q differ from those for region %q", region, named[0])
		}
		r.sets[region] = set
		versions["region "+region] = set.Version()
	}
	versions["policies"] = r.Policies.Version()
	r.Version = resources.HashVersions(versions)
	for _, region := range also {
		if _, err := r.Set(region); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Restore makes a revision from what was saved of one. It has only the regions in
// sets.
func Restore(version string, policies resources.Group, sets map[string]*resources.Set) *Revision {
	return &Revision{Version: version, Policies: policies, sets: maps.Clone(sets)}
}

func (r *Revision) build(region string) (*resources.Set, resources.Group, error) {
	built, err := r.compile(region)
	if err != nil {
		return nil, nil, err
	}
	set, policies, err := r.memory.set(built)
	if err != nil {
		return nil, nil, fmt.Errorf("region %q: %w", region, err)
	}
	return set, policies, nil
}

// Set gives the resources of one region, built on first use. A restored revision
// has only what was saved of it.
func (r *Revision) Set(region string) (*resources.Set, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if set, ok := r.sets[region]; ok {
		return set, nil
	}
	if r.compile == nil {
		return nil, fmt.Errorf("revision %s was saved without region %q", r.Version, region)
	}
	if len(r.sets) >= maxRegions {
		return nil, fmt.Errorf("more than %d regions", maxRegions)
	}
	if set, ok := r.sets[r.same(region)]; ok {
		r.sets[region] = set
		return set, nil
	}
	set, _, err := r.build(region)
	if err != nil {
		return nil, err
	}
	r.sets[region] = set
	return set, nil
}

// Sets gives the resources of all regions built so far.
func (r *Revision) Sets() map[string]*resources.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.sets)
}

// Static renders the resources of the given regions, and of none, as bootstraps
// for `envoy --mode validate`; regions with equal resources share one.
func (r *Revision) Static(regions []string) ([][]byte, error) {
	if r.compile == nil {
		return nil, fmt.Errorf("revision %s is a restored one", r.Version)
	}
	var out [][]byte
	seen := make(map[string]bool)
	for _, region := range append([]string{""}, regions...) {
		set, err := r.Set(region)
		if err != nil {
			return nil, err
		}
		version := set.Version()
		if seen[version] {
			continue
		}
		seen[version] = true
		built, err := r.compile(region)
		if err != nil {
			return nil, err
		}
		static, err := snapshot.Static(built)
		if err != nil {
			return nil, fmt.Errorf("rendering region %q: %w", region, err)
		}
		out = append(out, static)
	}
	return out, nil
}

// regionsOf gives "" and every region that a server has, sorted.
func regionsOf(cfg *config.Config) []string {
	out := []string{""}
	for _, s := range cfg.Servers {
		for _, region := range s.Spec.Regions {
			out = append(out, region.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func routes(cfg *config.Config) []status.Route {
	out := make([]status.Route, 0, len(cfg.Routes))
	for _, r := range cfg.Routes {
		route := status.Route{Name: r.Metadata.Name, Path: r.Spec.Path, ToolRules: len(r.Spec.Tools)}
		for _, s := range r.Spec.Servers {
			route.Servers = append(route.Servers, s.Name)
		}
		out = append(out, route)
	}
	return out
}

func (c Compiler) servers(cfg *config.Config) []status.Server {
	out := make([]status.Server, 0, len(cfg.Servers))
	for _, s := range cfg.Servers {
		server := status.Server{Name: s.Metadata.Name}
		if slo := s.Spec.SLO; slo != nil {
			server.SLO = &status.SLO{Availability: slo.Availability.Ratio(), P95Seconds: time.Duration(slo.P95).Seconds()}
		}
		for _, r := range s.Spec.Resident() {
			region := status.Region{Name: r.Name}
			for _, e := range r.Endpoints {
				address := e.Address
				if to, ok := c.Remap[address]; ok {
					address = to
				}
				region.Endpoints = append(region.Endpoints, status.Endpoint{Name: e.Name, Address: address})
			}
			server.Regions = append(server.Regions, region)
		}
		out = append(out, server)
	}
	return out
}
