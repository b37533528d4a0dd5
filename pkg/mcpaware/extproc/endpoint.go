package extproc

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
)

// endpoint is where Envoy sent a try.
type endpoint struct {
	// address as Envoy reports it, host:port.
	address string
	// name that people gave it; the address where the policies know none.
	name   string
	region string
	// server as the policy has it; nil where it has none.
	server *policyv1.Server
	// alone: the server has no other endpoint.
	alone bool
	// attempt is the number of the try, from 1.
	attempt uint64
}

// locate names the endpoint by the policies in force. A try of a policy that has
// just gone still has its address and Envoy's word for the region.
func (a *attempt) locate(attrs attributes) {
	e := endpoint{
		address: headerWord(attrs.text("upstream.address")),
		region:  headerWord(attrs.region()),
		attempt: attrs.number("upstream.request_attempt_count"),
	}
	e.name = e.address
	if table := a.service.opts.Table(); table != nil && a.call != nil {
		if route, ok := table.Policy(a.call.GetPolicy()); ok {
			a.stamp, a.route = route.Policy().GetStampVia(), route
			e.called(route, a.call.GetServer())
			if rule := a.call.GetRule(); rule != "" {
				a.tests.rule = route.AnswerTests(rule)
			}
		}
	}
	a.endpoint = e
}

// called takes name and region from the policy, where it knows the address.
func (e *endpoint) called(route *decide.Route, server string) {
	known, ok := route.Server(server)
	if !ok {
		return
	}
	e.server = known
	e.alone = len(known.GetEndpoints()) == 1
	for _, k := range known.GetEndpoints() {
		if k.GetAddress() == e.address {
			e.name, e.region = headerWord(k.GetName()), headerWord(k.GetRegion())
			return
		}
	}
}
