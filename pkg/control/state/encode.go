package state

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// encode adds to the pack what it has not, and gives what refers to it.
func encode(c Contents, p *pack) (*Saved, error) {
	// What an earlier try has not written is not there.
	p.forget()
	out := &Saved{}
	for _, r := range c.Revisions {
		saved := &SavedRevision{Version: r.Version}
		var err error
		if saved.Policies, err = p.group(names.TypeURLRoutePolicy, r.Policies.Version(), r.Policies); err != nil {
			return nil, err
		}
		sets := r.Sets()
		for _, name := range slices.Sorted(maps.Keys(sets)) {
			region, err := p.region(name, sets[name])
			if err != nil {
				return nil, err
			}
			saved.Regions = append(saved.Regions, region)
		}
		out.Revisions = append(out.Revisions, saved)
	}
	for _, n := range c.Nodes {
		out.Nodes = append(out.Nodes, &SavedNode{Id: n.ID, Processor: n.Kind == rollout.Processor})
	}
	return out, nil
}

func (p *pack) region(name string, set *resources.Set) (*SavedRegion, error) {
	var records [4]*Record
	var errs [4]error
	for i, typeURL := range resources.Types() {
		records[i], errs[i] = p.group(typeURL, set.TypeVersion(typeURL), set.Group(typeURL))
	}
	return &SavedRegion{
		Name: name, Clusters: records[0], Endpoints: records[1], Listeners: records[2], Routes: records[3],
	}, errors.Join(errs[:]...)
}

// group gives the record of a group, and adds it with the resources that the pack has not.
func (p *pack) group(typeURL, version string, g resources.Group) (*Record, error) {
	key := groupKey(typeURL, version)
	if r := p.find(key); r != nil {
		return r, nil
	}
	list := &SavedGroup{Resources: make([]*SavedResource, 0, len(g))}
	for _, name := range slices.Sorted(maps.Keys(g)) {
		key := resourceKey(typeURL, g[name].Version, name)
		body := p.find(key)
		if body == nil {
			wire, err := g[name].Wire()
			if err != nil {
				return nil, fmt.Errorf("resource %q: %w", name, err)
			}
			if body, err = p.add(key, wire); err != nil {
				return nil, err
			}
		}
		list.Resources = append(list.Resources, &SavedResource{Name: name, Version: g[name].Version, Body: body})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(list)
	if err != nil {
		return nil, err
	}
	return p.add(key, encoded)
}

// decoder reads a pack. Groups and resources that occur in several places are read once.
type decoder struct {
	*pack
	file   *os.File
	groups map[string]resources.Group
	bodies map[string]resources.Versioned
	sets   map[[4]uint64]*resources.Set
}

func decode(dir string, data []byte) (Contents, *pack, error) {
	saved := &Saved{}
	if err := unseal(data, saved); err != nil {
		return Contents{}, nil, err
	}
	if !packName(saved.GetPack()) || saved.GetPackBytes() > maxFileBytes {
		return Contents{}, nil, fmt.Errorf("%q of %d bytes is no pack", saved.GetPack(), saved.GetPackBytes())
	}
	file, err := os.Open(filepath.Join(dir, saved.GetPack()))
	if err != nil {
		return Contents{}, nil, err
	}
	d := decoder{
		pack: openPack(dir, saved.GetPack(), int64(saved.GetPackBytes())), file: file, //nolint:gosec // at most maxFileBytes
		groups: map[string]resources.Group{}, bodies: map[string]resources.Versioned{}, sets: map[[4]uint64]*resources.Set{},
	}
	out, err := d.contents(saved)
	if err = errors.Join(err, file.Close()); err != nil {
		return Contents{}, nil, err
	}
	for _, r := range d.known {
		d.base += int64(r.GetSize())
	}
	return out, d.pack, nil
}

func (d *decoder) contents(saved *Saved) (Contents, error) {
	var out Contents
	for _, r := range saved.GetRevisions() {
		restored, err := d.revision(r)
		if err != nil {
			return Contents{}, fmt.Errorf("revision %s: %w", r.GetVersion(), err)
		}
		out.Revisions = append(out.Revisions, restored)
	}
	for _, n := range saved.GetNodes() {
		kind := rollout.Envoy
		if n.GetProcessor() {
			kind = rollout.Processor
		}
		out.Nodes = append(out.Nodes, rollout.Node{ID: n.GetId(), Kind: kind})
	}
	return out, nil
}

func (d *decoder) revision(r *SavedRevision) (*revision.Revision, error) {
	policies, err := d.group(names.TypeURLRoutePolicy, r.GetPolicies(), &policyv1.RoutePolicy{})
	if err != nil {
		return nil, err
	}
	sets := make(map[string]*resources.Set, len(r.GetRegions()))
	for _, region := range r.GetRegions() {
		set, err := d.set(region)
		if err != nil {
			return nil, fmt.Errorf("region %q: %w", region.GetName(), err)
		}
		sets[region.GetName()] = set
	}
	return revision.Restore(r.GetVersion(), policies, sets), nil
}

func (d *decoder) set(region *SavedRegion) (*resources.Set, error) {
	key := [4]uint64{
		region.GetClusters().GetOffset(), region.GetEndpoints().GetOffset(), region.GetListeners().GetOffset(), region.GetRoutes().GetOffset(),
	}
	if known, ok := d.sets[key]; ok {
		return known, nil
	}
	set := &resources.Set{}
	var errs [4]error
	set.Clusters, errs[0] = d.group(resourcev3.ClusterType, region.GetClusters(), &clusterv3.Cluster{})
	set.Endpoints, errs[1] = d.group(resourcev3.EndpointType, region.GetEndpoints(), &endpointv3.ClusterLoadAssignment{})
	set.Listeners, errs[2] = d.group(resourcev3.ListenerType, region.GetListeners(), &listenerv3.Listener{})
	set.Routes, errs[3] = d.group(resourcev3.RouteType, region.GetRoutes(), &routev3.RouteConfiguration{})
	if err := errors.Join(errors.Join(errs[:]...), set.Usable()); err != nil {
		return nil, err
	}
	d.sets[key] = set
	return set, nil
}

// group reads resources of one type. Versions are taken as they were saved: Envoys have the
// resources under them.
func (d *decoder) group(typeURL string, at *Record, kind proto.Message) (resources.Group, error) {
	where := place(typeURL, at)
	if known, ok := d.groups[where]; ok {
		return known, nil
	}
	encoded, err := d.record(d.file, at)
	if err != nil {
		return nil, err
	}
	var list SavedGroup
	if err := proto.Unmarshal(encoded, &list); err != nil {
		return nil, err
	}
	out := make(resources.Group, len(list.GetResources()))
	for _, r := range list.GetResources() {
		if out[r.GetName()], err = d.resource(typeURL, r, kind); err != nil {
			return nil, fmt.Errorf("resource %q: %w", r.GetName(), err)
		}
	}
	d.known[groupKey(typeURL, out.Version())] = at
	d.groups[where] = out
	return out, nil
}

func (d *decoder) resource(typeURL string, r *SavedResource, kind proto.Message) (resources.Versioned, error) {
	where := place(typeURL, r.GetBody())
	out, ok := d.bodies[where]
	if !ok {
		body, err := d.record(d.file, r.GetBody())
		if err != nil {
			return resources.Versioned{}, err
		}
		message := kind.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(body, message); err != nil {
			return resources.Versioned{}, err
		}
		out = resources.Versioned{Message: message, Body: body}
		d.bodies[where] = out
	}
	if own := cachev3.GetResourceName(out.Message); own != r.GetName() {
		return resources.Versioned{}, fmt.Errorf("it is filed under a name that is not its own, %q", own)
	}
	out.Version = r.GetVersion()
	d.known[resourceKey(typeURL, r.GetVersion(), r.GetName())] = r.GetBody()
	return out, nil
}

// place identifies a record of a type.
func place(typeURL string, r *Record) string {
	return fmt.Sprintf("%s %d %d %d", typeURL, r.GetOffset(), r.GetSize(), r.GetSum())
}

// groupKey and resourceKey identify what records say.
func groupKey(typeURL, version string) string { return "group " + typeURL + " " + version }

func resourceKey(typeURL, version, name string) string {
	return typeURL + " " + version + " " + name
}
