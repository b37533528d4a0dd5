package model

import (
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// successors of servers, by their names.
func successors(servers []config.MCPServer) map[string]config.Successor {
	out := map[string]config.Successor{}
	for _, s := range servers {
		if s.Spec.Successor != nil {
			out[s.Metadata.Name] = *s.Spec.Successor
		}
	}
	return out
}

// succeeded resolves a route, and the same with the successors of its servers in their places.
func (b *builder) succeeded(r config.MCPRoute, next map[string]config.Successor) Route {
	out := b.route(r)
	shares := map[string]uint32{}
	replaced := func(server string) string {
		s, ok := next[server]
		if !ok {
			return server
		}
		shares[server] = uint32(*s.Share) //nolint:gosec // 0 to 100
		return s.Server
	}
	later := r
	later.Spec.Servers = slices.Clone(r.Spec.Servers)
	for i := range later.Spec.Servers {
		later.Spec.Servers[i].Name = replaced(later.Spec.Servers[i].Name)
	}
	later.Spec.Tools = slices.Clone(r.Spec.Tools)
	for i := range later.Spec.Tools {
		t := &later.Spec.Tools[i]
		first := later.Spec.Servers[0].Name
		if t.To != nil {
			first = replaced(t.To.Server)
			t.To = &config.ToolTarget{Server: first}
		}
		if t.Fallback != nil && t.Fallback.Server == first {
			// Nobody stands in for itself.
			t.Fallback = nil
		}
	}
	if len(shares) == 0 {
		return out
	}
	resolved := b.route(later)
	out.Next, out.Shares = &resolved, shares
	for _, server := range resolved.Servers {
		if !slices.Contains(out.Servers, server) {
			out.Servers = append(out.Servers, server)
		}
	}
	return out
}
