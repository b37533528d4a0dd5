package doctor

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

// dialTimeout bounds one attempt to connect.
const dialTimeout = 2 * time.Second

func dial(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err //nolint:wrapcheck // it says what and where
	}
	return conn.Close() //nolint:wrapcheck // as above
}

func (e *examination) gateway(ctx context.Context) {
	if err := dial(ctx, e.Gateway); err != nil {
		e.fail("gateway", fmt.Sprintf("nobody answers where clients connect: %v", err),
			"is Envoy running, and is spec.address of the Gateway this one? 'holdfast up' runs everything on this machine")
		return
	}
	e.ok("gateway", "%s takes connections", e.Gateway)
}

func (e *examination) envoys(ctx context.Context) {
	if len(e.Envoys) == 0 {
		e.warn("envoy", "no admin interface is known: what Envoys think of endpoints is not seen", "name one with --envoy-admin host:port")
	}
	for _, envoy := range e.Envoys {
		id, err := envoy.NodeID(ctx)
		if err != nil {
			e.fail("envoy", err.Error(), "is this Envoy running, and is that its admin address? See its log")
			continue
		}
		e.ok("envoy", "%s answers at %s", id, envoy.Address())
	}
}

func (e *examination) plane(ctx context.Context) {
	status, err := e.Plane(ctx)
	if err != nil {
		e.fail("control plane", fmt.Sprintf("it cannot be asked: %v", err), "is xds running? Envoys and processors go on with what they have; see its log, and docs/runbooks/control-plane.md")
		return
	}
	e.status = status
	switch {
	case !status.GetReady():
		e.fail("control plane", "it has nothing to serve: "+status.GetReason(), "give it a configuration: 'holdfast validate DIRECTORY' says what is wrong with one")
	case status.GetRefused().GetStanding():
		e.fail("control plane", "the files have mistakes, so an older revision is served: "+firstLine(status.GetRefused().GetError()), "mend the files; 'holdfast validate' shows all mistakes")
	case len(status.GetProblems()) > 0:
		e.fail("control plane", strings.Join(status.GetProblems(), "; "), "see to the state directory: space, owner and mode")
	default:
		e.ok("control plane", "it serves revision %d", status.GetRevision().GetNumber())
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// nodes looks at who is connected by xDS, and what they say to what they are given.
func (e *examination) nodes(context.Context) {
	if e.status == nil {
		return
	}
	connected := map[string]int{}
	for _, n := range e.status.GetNodes() {
		connected[n.GetKind()]++
		switch n.GetSync() {
		case "synced":
			e.ok("xds", "%s %s has acknowledged what it was given", n.GetKind(), n.GetId())
		case "pending":
			e.warn("xds", n.GetId()+" has not answered yet", "ask again in a moment")
		case "silent":
			e.fail("xds", n.GetId()+" says neither yes nor no to what it was given", "a cluster that does not get ready looks like this: see the log of that Envoy, and its endpoints below")
		default:
			detail := n.GetNack().GetDetail()
			if detail == "" {
				detail = "it stays with an older revision"
			}
			e.fail("xds", fmt.Sprintf("%s refuses what it was given: %s", n.GetId(), firstLine(detail)), "mend what it names, or 'holdfast rollback'")
		}
	}
	for kind, fix := range map[string]string{
		"envoy":   "start one with envoy/bootstrap.yaml, and see that it names the control plane's address",
		"extproc": "start extproc with --xds and the control plane's address; without one every call is a 503",
	} {
		if connected[kind] == 0 {
			e.fail("xds", "no "+kind+" is connected to the control plane", fix)
		}
	}
}

// policies compares what processors hold.
func (e *examination) policies(context.Context) {
	held := map[string][]string{}
	for _, n := range e.status.GetNodes() {
		if n.GetKind() == "extproc" {
			version := n.GetTypes()["policies"].GetAcked()
			held[version] = append(held[version], n.GetId())
		}
	}
	switch {
	case len(held) == 0:
	case len(held) > 1:
		e.warn("policies", fmt.Sprintf("processors hold %d different sets", len(held)), "while a revision goes out that is so for a moment; 'holdfast status' says who waits for whom")
	default:
		e.ok("policies", "all processors hold the same")
	}
}

// servers looks at endpoints as Envoys see them, or by connecting where none can be asked.
func (e *examination) servers(ctx context.Context) {
	for _, server := range e.status.GetServers() {
		var good, all int
		var bad []string
		for _, region := range server.GetRegions() {
			for _, endpoint := range region.GetEndpoints() {
				all++
				if why := endpointProblem(ctx, endpoint); why != "" {
					bad = append(bad, fmt.Sprintf("%s (%s): %s", endpoint.GetName(), endpoint.GetAddress(), why))
				} else {
					good++
				}
			}
		}
		const fix = "is that server running, and does its health check page answer? 'holdfast status' shows each Envoy's view, docs/runbooks/server-down.md what to do"
		switch {
		case good == 0:
			e.fail("servers", fmt.Sprintf("%s has no endpoint that can be used: %s", server.GetName(), strings.Join(bad, "; ")), fix)
		case good < all:
			e.warn("servers", fmt.Sprintf("%s: %s", server.GetName(), strings.Join(bad, "; ")), fix)
		default:
			e.ok("servers", "%s: %d of %d endpoints can be used", server.GetName(), good, all)
		}
	}
}

// endpointProblem is empty where nothing is wrong.
func endpointProblem(ctx context.Context, endpoint *adminv1.Endpoint) string {
	for _, h := range endpoint.GetHealth() {
		if h.GetState() == envoyadmin.Unhealthy || h.GetState() == envoyadmin.Ejected {
			return fmt.Sprintf("%s by %s of %s", h.GetState(), h.GetBy(), h.GetNode())
		}
	}
	if len(endpoint.GetHealth()) == 0 {
		if err := dial(ctx, endpoint.GetAddress()); err != nil {
			return err.Error()
		}
	}
	return ""
}
