// Package snapshot turns a model into xDS resources for Envoy and policies for
// the external processors. It is pure: the same model always gives the same
// bytes, so that content hashes can be versions. Envoy protos are built here and
// nowhere else in the control plane.
package snapshot

import (
	"errors"
	"fmt"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Resources is everything that one region's Envoys and the processors get, by
// resource name. Endpoints are keyed by EDS service name (see ServiceName).
type Resources struct {
	Listeners, Routes, Clusters, Endpoints map[string]types.Resource
	// Policies by MCPRoute name.
	Policies map[string]*policyv1.RoutePolicy
}

// Build makes the resources of m and checks them: each proto by its own rules
// (protoc-gen-validate) and the references between them. An error means that
// nothing of the result may be used.
func Build(m *model.Model) (*Resources, error) {
	var b Builder
	return b.Build(m)
}

// build makes the resources of m, those of servers by means of server.
func build(m *model.Model, server func(serverInput) (*serverOutput, error)) (*Resources, error) {
	r := &Resources{
		Listeners: map[string]types.Resource{},
		Routes:    map[string]types.Resource{},
		Clusters:  map[string]types.Resource{},
		Endpoints: map[string]types.Resource{},
		Policies:  map[string]*policyv1.RoutePolicy{},
	}
	l, err := listener(m)
	if err != nil {
		return nil, fmt.Errorf("building the listener: %w", err)
	}
	r.Listeners[l.GetName()] = l
	routes, err := routeConfiguration(m)
	if err != nil {
		return nil, fmt.Errorf("building the routes: %w", err)
	}
	r.Routes[routes.GetName()] = routes
	ext, err := extprocCluster(m.Gateway)
	if err != nil {
		return nil, fmt.Errorf("building the processors' cluster: %w", err)
	}
	r.Clusters[ext.GetName()] = ext
	errs := []error{valid("listener", l.GetName(), l), valid("route configuration", routes.GetName(), routes), valid("cluster", ext.GetName(), ext)}
	if m.Gateway.Traces != nil {
		traces, err := traceCluster(m.Gateway.Traces)
		if err != nil {
			return nil, fmt.Errorf("building the cluster of the traces' receiver: %w", err)
		}
		r.Clusters[traces.GetName()] = traces
		errs = append(errs, valid("cluster", traces.GetName(), traces))
	}
	if j := m.Gateway.JWT; j != nil && j.URL != nil {
		keys, err := keysCluster(j.URL)
		if err != nil {
			return nil, fmt.Errorf("building the cluster of the tokens' keys: %w", err)
		}
		r.Clusters[keys.GetName()] = keys
		errs = append(errs, valid("cluster", keys.GetName(), keys))
	}
	for _, s := range m.Servers {
		out, err := server(serverInput{s, gatewayInput{m.Gateway.MaxBodyBytes, m.Gateway.ProcessorTimeout}})
		if err != nil {
			return nil, fmt.Errorf("building the cluster of server %q: %w", s.Name, err)
		}
		r.Clusters[out.cluster.GetName()] = out.cluster
		r.Endpoints[out.endpoints.GetClusterName()] = out.endpoints
		errs = append(errs, out.invalid)
	}
	joined, err := fallbackClusters(m)
	if err != nil {
		return nil, err
	}
	for _, c := range joined {
		r.Clusters[c.GetName()] = c
		errs = append(errs, valid("cluster", c.GetName(), c))
	}
	for _, route := range m.Routes {
		r.Policies[route.Name] = policy(m, route)
	}
	return r, errors.Join(append(errs, r.references()...)...)
}

// valid runs a proto's own validation.
func valid(kind, name string, m interface{ ValidateAll() error }) error {
	if err := m.ValidateAll(); err != nil {
		return fmt.Errorf("%s %q: %w", kind, name, err)
	}
	return nil
}

func (r *Resources) references() []error {
	var errs []error
	for name, c := range clusters(r) {
		service := c.GetEdsClusterConfig().GetServiceName()
		if service == "" {
			continue
		}
		if _, ok := r.Endpoints[service]; !ok {
			errs = append(errs, fmt.Errorf("cluster %q names endpoints %q, which are not there", name, service))
		}
	}
	rc := routesOf(r)
	for _, vh := range rc.GetVirtualHosts() {
		for _, route := range vh.GetRoutes() {
			cluster := route.GetRoute().GetCluster()
			if cluster == "" {
				continue
			}
			if _, ok := r.Clusters[cluster]; !ok {
				errs = append(errs, fmt.Errorf("route %q names cluster %q, which is not there", route.GetName(), cluster))
			}
		}
	}
	if _, ok := r.Clusters[names.ClusterExtproc]; !ok {
		errs = append(errs, fmt.Errorf("cluster %q is missing", names.ClusterExtproc))
	}
	return errs
}

// marshal is the one way in which nested configuration becomes bytes:
// deterministic, so that equal models give equal hashes.
func marshal(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("marshalling %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return b, nil
}
