package server

import (
	"errors"
	"maps"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// deltaAnswer is what a stream lacks of a group.
type deltaAnswer struct {
	resources []*discoveryv3.Resource
	removed   []string
}

const everything = "*"

// answer finds out what a stream lacks of a set. Names that request subscribes to are sent in any
// case: an Envoy that asks again for what it was sent may have thrown it away meanwhile
// (xDS protocol, "Subscribing to Resources").
func (t *deltaType) answer(set *resources.Set, typeURL string, sub cachev3.Subscription, request *cachev3.DeltaRequest) (deltaAnswer, error) {
	asked := request.GetResourceNamesSubscribe()
	switch {
	case !t.synced && len(t.came) > 0:
		return walk(set.Group(typeURL), typeURL, sub, t.came)
	case !t.synced && sub.IsWildcard():
		return whole(set.Since(typeURL, nil))
	case !t.synced:
		return named(set.Since(typeURL, nil), nil, typeURL, sub, nil)
	case t.whole != sub.IsWildcard(), t.whole && len(asked)+len(request.GetResourceNamesUnsubscribe()) > 0:
		return walk(set.Group(typeURL), typeURL, sub, t.known(sub, request))
	case t.whole:
		return whole(set.Since(typeURL, t.base))
	default:
		return named(set.Since(typeURL, t.base), set.Group(typeURL), typeURL, sub, asked)
	}
}

// whole is the answer for a stream that has all that a difference comes from.
func whole(d *resources.Difference) (deltaAnswer, error) {
	all, err := d.Resources()
	return deltaAnswer{all, d.Removed}, err
}

// named is the answer for a stream that has what it asked for by name of what a difference comes
// from, but for the names that it asks for now.
func named(d *resources.Difference, to resources.Group, typeURL string, sub cachev3.Subscription, asked []string) (deltaAnswer, error) {
	var out deltaAnswer
	names, now := sub.SubscribedResources(), nameSet(asked)
	for i, name := range d.Changed {
		if _, ok := names[name]; !ok || now[name] {
			continue
		}
		all, err := d.Resources()
		if err != nil {
			return out, err
		}
		out.resources = append(out.resources, all[i])
	}
	for name := range now {
		r, exists := to[name]
		if _, ok := names[name]; !ok || !exists {
			continue
		}
		wire, err := r.Delta(typeURL, name)
		if err != nil {
			return out, err
		}
		out.resources = append(out.resources, wire)
	}
	for _, name := range d.Removed {
		if _, ok := names[name]; ok {
			out.removed = append(out.removed, name)
		}
	}
	return out, nil
}

// walk is the answer for a stream that has known, versions by name: it looks at every name. ""
// is a version of nothing: what has it is sent again, or removed.
func walk(to resources.Group, typeURL string, sub cachev3.Subscription, known map[string]string) (deltaAnswer, error) {
	var out deltaAnswer
	look := func(name string) error {
		r, exists := to[name]
		version, has := known[name]
		switch {
		case exists && version != r.Version:
			wire, err := r.Delta(typeURL, name)
			if err != nil {
				return err
			}
			out.resources = append(out.resources, wire)
		case !exists && has:
			out.removed = append(out.removed, name)
		}
		return nil
	}
	var errs []error
	if !sub.IsWildcard() {
		for name := range sub.SubscribedResources() {
			errs = append(errs, look(name))
		}
		return out, errors.Join(errs...)
	}
	for name := range to {
		errs = append(errs, look(name))
	}
	for name := range known {
		if _, exists := to[name]; !exists {
			errs = append(errs, look(name))
		}
	}
	return out, errors.Join(errs...)
}

// known gives what a stream was sent, versions by name, when a request has changed what it asks
// for in a way that a difference does not cover.
func (t *deltaType) known(sub cachev3.Subscription, request *cachev3.DeltaRequest) map[string]string {
	out := make(map[string]string, len(t.base))
	for name, r := range t.base {
		if _, ok := sub.SubscribedResources()[name]; ok || t.whole {
			out[name] = r.Version
		}
	}
	adjust(out, sub, request)
	return out
}

// adjust takes account of what a request asks for anew and lets go of.
func adjust(known map[string]string, sub cachev3.Subscription, request *cachev3.DeltaRequest) {
	for name := range nameSet(request.GetResourceNamesSubscribe()) {
		if _, ok := known[name]; ok {
			known[name] = ""
		}
	}
	for name := range nameSet(request.GetResourceNamesUnsubscribe()) {
		// What is still wanted as part of everything is sent again, or removed.
		known[name] = ""
	}
	if !sub.IsWildcard() {
		maps.DeleteFunc(known, func(name, _ string) bool { _, ok := sub.SubscribedResources()[name]; return !ok })
	}
}

// nameSet gives the names but for "*", which is none.
func nameSet(list []string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, name := range list {
		if name != everything {
			out[name] = true
		}
	}
	return out
}
