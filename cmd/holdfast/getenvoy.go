package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

// getEnvoy compares what an Envoy runs with what it is meant to.
func getEnvoy(ctx context.Context, env *environment, flags *getFlags, args []string) error {
	if flags.revision != 0 {
		return usagef("--revision is for resources: an Envoy runs what it runs now")
	}
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	node, err := envoyNode(ctx, client, args)
	if err != nil {
		return err
	}
	var given []string
	if flags.envoyAdmin != "" {
		given = []string{flags.envoyAdmin}
	}
	admins, err := flags.envoys(given)
	if err != nil {
		return err
	}
	if len(admins) == 0 {
		return usagef("no 'holdfast up' runs that would know where " + node + " is: give its admin interface with --envoy-admin host:port")
	}
	admin := admins[0]
	defer admin.Close()
	// What is meant is asked first: what it means to Envoy meanwhile shows as drift that is gone at the second look.
	want, err := client.GetNode(ctx, &adminv1.GetNodeRequest{Id: node})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if id, err := admin.NodeID(ctx); err != nil {
		return err //nolint:wrapcheck // in words already
	} else if id != node {
		return fmt.Errorf("the Envoy at %s is %s, not %s: --envoy-admin says where %s is", admin.Address(), id, node, node)
	}
	have, err := admin.ConfigDump(ctx)
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	if nack := want.GetNode().GetNack(); nack.GetStanding() && flags.format == formatTable {
		say(env.Stdout, "%s refuses %s; it is meant to stay on its last good revision. Its words:\n%s\n\n", oneLine(node),
			oneLine(nack.GetType()), indent(printable(strings.TrimSpace(nack.GetDetail())), "    "))
	}
	return showDrift(env, flags.format, node, envoyadmin.Compare(want.GetResources(), have))
}

// envoyNode is the node that was named, or the only one.
func envoyNode(ctx context.Context, client *apiclient.Client, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	status, err := client.Status(ctx, &adminv1.StatusRequest{})
	if err != nil {
		return "", err //nolint:wrapcheck // in words already
	}
	var ids []string
	for _, n := range status.GetNodes() {
		if n.GetKind() == apiclient.KindEnvoy {
			ids = append(ids, n.GetId())
		}
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("no Envoy is connected to %s", client.Server())
	case 1:
		return ids[0], nil
	default:
		return "", usagef("say which Envoy: " + strings.Join(ids[:min(len(ids), maxRows)], ", "))
	}
}

// driftReport is what -o json and -o yaml write.
type driftReport struct {
	Node      string                `json:"node"`
	Drift     bool                  `json:"drift"`
	Resources []envoyadmin.Compared `json:"resources"`
}

func showDrift(env *environment, f format, node string, compared []envoyadmin.Compared) error {
	report := driftReport{Node: node, Resources: compared}
	counts := map[envoyadmin.State]int{}
	for _, c := range compared {
		counts[c.State]++
		report.Drift = report.Drift || c.State != envoyadmin.Same
	}
	if f != formatTable {
		text, err := json.Marshal(report)
		if err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		if err := writeStructured(env.Stdout, f, text); err != nil {
			return err
		}
	} else {
		writeDrift(env, node, compared, counts)
	}
	if report.Drift {
		return errSilent
	}
	return nil
}

// writeDrift puts what drifted first.
func writeDrift(env *environment, node string, compared []envoyadmin.Compared, counts map[envoyadmin.State]int) {
	color := env.painter(env.Stdout)
	if drifted := len(compared) - counts[envoyadmin.Same]; drifted == 0 {
		say(env.Stdout, "%s %s runs what it is meant to run: %s.\n\n", color.paint(green, "✓"), oneLine(node), counted(len(compared), "resource"))
	} else {
		var parts []string
		for _, state := range []envoyadmin.State{envoyadmin.Different, envoyadmin.Missing, envoyadmin.Extra} {
			if n := counts[state]; n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", n, state))
			}
		}
		say(env.Stdout, "%s\n\n", color.paint(red, fmt.Sprintf("✗ %s drifted: %s, of %s.", oneLine(node), strings.Join(parts, ", "), counted(len(compared), "resource"))))
	}
	t := newTable("STATE", "TYPE", "NAME", "MEANT", "RUNS", "NOTE")
	for _, drifted := range []bool{true, false} {
		for _, c := range compared {
			if (c.State != envoyadmin.Same) == drifted {
				t.row(string(c.State), c.Type, c.Name, short(c.Want), short(c.Have), c.Note)
			}
		}
	}
	t.write(env.Stdout)
}
