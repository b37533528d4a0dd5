// Package resources holds sets of Envoy resources with their versions, and joins
// the sets of several revisions into the one that an Envoy is shown while it is
// moved from one to the other. Versions are content hashes, so that replicas of
// the control plane agree and an unchanged resource is never sent again.
package resources

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// Message is any xDS resource.
type Message = types.Resource

// Versioned is one resource and the hash of its deterministic serialisation, as
// go-control-plane's LinearCache computes it too.
type Versioned struct {
	// Message must not be changed.
	Message types.Resource
	// Body is the deterministic serialisation, where it is known. It must not be changed.
	Body []byte
	// Version is a SHA-256 in hex.
	Version string
}

// Group is the resources of one type by name.
type Group map[string]Versioned

// NewGroup computes the versions of resources. Every key must be the resource's
// own xDS name (a load assignment's cluster_name, otherwise name).
func NewGroup[M types.Resource](resources map[string]M) (Group, error) {
	g := make(Group, len(resources))
	for name, message := range resources {
		r, err := versioned(name, message)
		if err != nil {
			return nil, err
		}
		g[name] = r
	}
	return g, nil
}

func versioned(name string, message types.Resource) (Versioned, error) {
	if own := cachev3.GetResourceName(message); own != name {
		return Versioned{}, fmt.Errorf("resource %q is filed under the name %q", own, name)
	}
	body, err := cachev3.MarshalResource(message)
	if err != nil {
		return Versioned{}, fmt.Errorf("marshalling resource %q: %w", name, err)
	}
	return Versioned{Message: message, Body: body, Version: cachev3.HashResource(body)}, nil
}

// Wire gives the serialisation of a resource, made now where it is not known.
func (v Versioned) Wire() ([]byte, error) {
	if v.Body != nil {
		return v.Body, nil
	}
	body, err := cachev3.MarshalResource(v.Message)
	if err != nil {
		return nil, fmt.Errorf("marshalling a resource: %w", err)
	}
	return body, nil
}

// Versions gives the version of every resource by name.
func (g Group) Versions() map[string]string {
	out := make(map[string]string, len(g))
	for name, r := range g {
		out[name] = r.Version
	}
	return out
}

// Matches says whether versions, by name, are exactly the group's.
func (g Group) Matches(versions map[string]string) bool {
	if len(g) != len(versions) {
		return false
	}
	for name, r := range g {
		if version, ok := versions[name]; !ok || version != r.Version {
			return false
		}
	}
	return true
}

// Is says whether both are the very same group, not only equal ones.
func (g Group) Is(other Group) bool {
	return reflect.ValueOf(g).Pointer() == reflect.ValueOf(other).Pointer()
}

// Messages gives the bare resources by name.
func (g Group) Messages() map[string]types.Resource {
	out := make(map[string]types.Resource, len(g))
	for name, r := range g {
		out[name] = r.Message
	}
	return out
}

// Version is the hash of the whole group: names and versions in order of name.
func (g Group) Version() string {
	return condense(g, func(r Versioned) string { return r.Version })
}

// HashVersions condenses the versions of a group, by name, into one: a SHA-256 in
// hex that is the same for the same content, whoever holds it.
func HashVersions(versions map[string]string) string {
	return condense(versions, func(version string) string { return version })
}

func condense[V any](all map[string]V, version func(V) string) string {
	names := make([]string, 0, len(all))
	size := 0
	for name, v := range all {
		names = append(names, name)
		size += len(name) + len(version(v)) + 2*len("1234:")
	}
	slices.Sort(names)
	text := make([]byte, 0, size)
	for _, name := range names {
		// Lengths keep neighbouring fields apart.
		for _, field := range [...]string{name, version(all[name])} {
			text = strconv.AppendInt(text, int64(len(field)), 10)
			text = append(text, ':')
			text = append(text, field...)
		}
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Set is all resources of one Envoy. It must not be changed once it is in use.
type Set struct {
	Clusters, Endpoints, Listeners, Routes Group

	once     sync.Once
	snapshot *cachev3.Snapshot
	// versions of the types, in the order of Types, computed when they are asked for.
	hashing  sync.Mutex
	versions [4]string
	// others are versions of what others have; see VersionOf.
	others map[string]string
	// differences by type, from the groups asked about last.
	comparing   sync.Mutex
	differences map[string][]*Difference
}

// Types are the type URLs that a Set has, in the order in which ADS sends them.
func Types() []string {
	return []string{resourcev3.ClusterType, resourcev3.EndpointType, resourcev3.ListenerType, resourcev3.RouteType}
}

// Group gives the resources of one type, nil for types that a Set does not have.
func (s *Set) Group(typeURL string) Group {
	switch typeURL {
	case resourcev3.ClusterType:
		return s.Clusters
	case resourcev3.EndpointType:
		return s.Endpoints
	case resourcev3.ListenerType:
		return s.Listeners
	case resourcev3.RouteType:
		return s.Routes
	default:
		return nil
	}
}

// Usable says why a set must not be shown to an Envoy: without a listener, a
// route configuration or a cluster it would be a total outage at once.
func (s *Set) Usable() error {
	switch {
	case len(s.Listeners) == 0:
		return fmt.Errorf("the set has no listener")
	case len(s.Routes) == 0:
		return fmt.Errorf("the set has no route configuration")
	case len(s.Clusters) == 0:
		return fmt.Errorf("the set has no cluster")
	}
	return nil
}

// Version condenses all groups into one hash.
func (s *Set) Version() string {
	all := make(map[string]string, len(s.versions))
	for _, t := range Types() {
		all[t] = s.TypeVersion(t)
	}
	return HashVersions(all)
}

// TypeVersion is the version of the resources of one type; see Group.Version.
func (s *Set) TypeVersion(typeURL string) string {
	i := slices.Index(Types(), typeURL)
	if i < 0 {
		return s.Group(typeURL).Version()
	}
	s.hashing.Lock()
	defer s.hashing.Unlock()
	if s.versions[i] == "" {
		s.versions[i] = s.Group(typeURL).Version()
	}
	return s.versions[i]
}

// sameVersions takes over the versions of the groups that both sets have.
func (s *Set) sameVersions(other *Set) {
	for i, t := range Types() {
		if s.versions[i] == "" && s.Group(t).Is(other.Group(t)) {
			s.versions[i] = other.TypeVersion(t)
		}
	}
}

// Snapshot gives the set in go-control-plane's form, versions filled in. It is
// made once.
func (s *Set) Snapshot() *cachev3.Snapshot {
	s.once.Do(func() {
		out := &cachev3.Snapshot{VersionMap: make(map[string]map[string]string, 4)}
		for _, typeURL := range Types() {
			g := s.Group(typeURL)
			items := make(map[string]types.ResourceWithTTL, len(g))
			for name, r := range g {
				items[name] = types.ResourceWithTTL{Resource: r.serialised()}
			}
			out.Resources[cachev3.GetResponseType(typeURL)] = cachev3.Resources{Version: s.TypeVersion(typeURL), Items: items}
			out.VersionMap[typeURL] = g.Versions()
		}
		s.snapshot = out
	})
	return s.snapshot
}

// WithEndpoints gives the set with other endpoints.
func (s *Set) WithEndpoints(g Group) *Set {
	out := &Set{Clusters: s.Clusters, Endpoints: g, Listeners: s.Listeners, Routes: s.Routes}
	out.sameVersions(s)
	return out
}
