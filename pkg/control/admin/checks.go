package admin

import (
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/health"
)

// checks are what the control plane needs: a revision to be used at all; files that can be used, a state
// directory that can be written, and nodes that take what they are given, to be what it should. Whoever asks
// learns names of nodes only from the status page.
func checks(s status.Status) []health.Check {
	var rejecting, silent, envoys, processors int
	for _, n := range s.Nodes {
		switch n.Sync {
		case status.Rejecting:
			rejecting++
		case status.Silent:
			silent++
		case status.Synced, status.Pending:
		}
		switch n.Kind {
		case "envoy":
			envoys++
		case "extproc":
			processors++
		}
	}
	return []health.Check{
		health.Of("revision", s.Ready, health.Unhealthy, s.Reason),
		health.Of("configuration", s.Refused == nil || !s.Refused.Standing, health.Degraded, "the files have mistakes: the last good revision is served"),
		health.Of("state", len(s.Problems) == 0, health.Degraded, strings.Join(s.Problems, "; ")),
		health.Of("nodes", rejecting+silent == 0, health.Degraded, "some refuse what they are given, or say nothing: see the status"),
		health.Of("envoys", envoys > 0, health.Degraded, "none is connected"),
		health.Of("processors", processors > 0, health.Degraded, "none is connected"),
	}
}
