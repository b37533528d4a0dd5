package resources

import (
	"fmt"
	"slices"
	"sync"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// maxDifferences is from how many groups of a type a Set remembers its difference: those that
// Envoys of one region move from at the same time.
const maxDifferences = 4

// Difference is what leads from one group of a type to another. It must not be changed; its
// methods are safe for concurrent use.
type Difference struct {
	// Changed are the names of resources that are new or have another version, Removed of
	// those that are gone, both sorted.
	Changed, Removed []string

	typeURL  string
	from, to Group
	once     sync.Once
	wire     []*discoveryv3.Resource
	err      error
}

// NewDifference compares two groups of a type.
func NewDifference(typeURL string, from, to Group) *Difference {
	d := &Difference{typeURL: typeURL, from: from, to: to}
	if from.Is(to) {
		return d
	}
	for name, r := range to {
		if old, ok := from[name]; !ok || old.Version != r.Version {
			d.Changed = append(d.Changed, name)
		}
	}
	for name := range from {
		if _, ok := to[name]; !ok {
			d.Removed = append(d.Removed, name)
		}
	}
	slices.Sort(d.Changed)
	slices.Sort(d.Removed)
	return d
}

// Resources are those of Changed as a delta response has them. They are made once and shared:
// nobody may change them.
func (d *Difference) Resources() ([]*discoveryv3.Resource, error) {
	d.once.Do(func() {
		d.wire = make([]*discoveryv3.Resource, 0, len(d.Changed))
		for _, name := range d.Changed {
			var r *discoveryv3.Resource
			if r, d.err = d.to[name].Delta(d.typeURL, name); d.err != nil {
				return
			}
			d.wire = append(d.wire, r)
		}
	})
	return d.wire, d.err
}

// Delta is the resource in the form that delta responses have.
func (v Versioned) Delta(typeURL, name string) (*discoveryv3.Resource, error) {
	body, err := v.Wire()
	if err != nil {
		return nil, fmt.Errorf("resource %q: %w", name, err)
	}
	return &discoveryv3.Resource{Name: name, Version: v.Version, Resource: &anypb.Any{TypeUrl: typeURL, Value: body}}, nil
}

// Since gives what leads from a group to the set's of that type. The last few are remembered,
// so that all who come from one group share one comparison.
func (s *Set) Since(typeURL string, from Group) *Difference {
	to := s.Group(typeURL)
	s.comparing.Lock()
	defer s.comparing.Unlock()
	known := s.differences[typeURL]
	for _, d := range known {
		if d.from.Is(from) {
			return d
		}
	}
	d := NewDifference(typeURL, from, to)
	if s.differences == nil {
		s.differences = make(map[string][]*Difference, len(Types()))
	}
	if len(known) >= maxDifferences {
		known = slices.Delete(slices.Clone(known), 0, 1)
	}
	s.differences[typeURL] = append(known, d)
	return d
}
