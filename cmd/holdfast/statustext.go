package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// shortVersion is how much of a content hash is shown.
const shortVersion = 12

// writeStatus writes s for people; now is the time that ages are counted to.
func writeStatus(to io.Writer, s *status.Status, now time.Time) {
	writeRevision(to, s, now)
	for _, problem := range s.Problems {
		say(to, "problem        %s\n", printable(problem))
	}
	say(to, "\n")
	if len(s.Nodes) == 0 {
		say(to, "No Envoy and no processor is connected.\n")
	} else {
		writeNodes(to, s.Nodes, now)
	}
	if len(s.Servers) > 0 {
		say(to, "\n")
		writeServers(to, s.Servers)
	}
}

func writeRevision(to io.Writer, s *status.Status, now time.Time) {
	switch {
	case s.Revision == nil:
		say(to, "configuration  none yet: %s\n", printable(s.Reason))
	default:
		say(to, "configuration  %s, rollout: %s, for %s\n", short(s.Revision.Version), s.Revision.Phase, ago(now, s.Revision.Since))
		if s.Revision.Next != "" {
			say(to, "next           %s, waiting for a safe point\n", short(s.Revision.Next))
		}
	}
	if refused := s.Refused; refused != nil {
		what := "since put right"
		if refused.Standing {
			what = "still there; what was valid before it stays in force"
		}
		say(to, "refused        %s ago, %s:\n%s\n", ago(now, refused.At), what, indent(printable(strings.TrimSpace(refused.Error)), "    "))
	}
	if rejected := s.Rejected; rejected != nil {
		say(to, "rejected       %s by %s, %s ago; the one before it stays in force. Its words about %s:\n%s\n",
			short(rejected.Version), printable(rejected.Node), ago(now, rejected.At), rejected.Type,
			indent(printable(strings.TrimSpace(rejected.Detail)), "    "))
	}
}

func writeNodes(to io.Writer, nodes []status.Node, now time.Time) {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	say(table, "NODE\tKIND\tREGION\tSTATE\tACKNOWLEDGED\tCONNECTED FOR\n")
	for i := range nodes {
		node := &nodes[i]
		state := string(node.Sync)
		if node.Sync == status.Silent && node.SilentSince != nil {
			state = fmt.Sprintf("silent for %s", ago(now, *node.SilentSince))
		}
		if node.Late {
			state += ", late"
		}
		say(table, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(node.ID), node.Kind, printable(dash(node.Region)), state,
			acknowledged(node.Types), ago(now, node.ConnectedSince))
	}
	_ = table.Flush() // as for say
	for i := range nodes {
		if nack := nodes[i].Nack; nack != nil && nack.Standing {
			say(to, "%s refuses %s, %s ago. Its words:\n%s\n", printable(nodes[i].ID), nack.Type, ago(now, nack.At),
				indent(printable(strings.TrimSpace(nack.Detail)), "    "))
		}
	}
}

// acknowledged lists the versions by type, such as "clusters 1f3a9c routes 99ab01".
func acknowledged(types map[string]status.Type) string {
	names := make([]string, 0, len(types))
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	const shown = 6
	parts := make([]string, 0, len(names))
	for _, name := range names {
		version := types[name].Acked
		parts = append(parts, name+" "+dash(version[:min(shown, len(version))]))
	}
	return dash(strings.Join(parts, ", "))
}

func writeServers(to io.Writer, servers []status.Server) {
	table := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	say(table, "SERVER\tREGION\tENDPOINTS\n")
	for _, server := range servers {
		for _, region := range server.Regions {
			endpoints := make([]string, 0, len(region.Endpoints))
			for _, e := range region.Endpoints {
				endpoints = append(endpoints, e.Name+" "+e.Address)
			}
			say(table, "%s\t%s\t%s\n", printable(server.Name), printable(region.Name), printable(strings.Join(endpoints, ", ")))
		}
	}
	_ = table.Flush() // as for say
}

func short(version string) string { return printable(version[:min(shortVersion, len(version))]) }

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// ago is the time from then to now, as coarse as people want it.
func ago(now, then time.Time) string {
	d := max(0, now.Sub(then))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// printable keeps what others wrote from steering the terminal; lines stay lines.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || (r >= ' ' && r != 0x7f && (r < 0x80 || r >= 0xa0)) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
}
