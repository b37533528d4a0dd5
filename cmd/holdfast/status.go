package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

const statusHelp = `Shows on one screen how things are, what is wrong first: the newest revision and how
far its rollout is; tools that are broken in a region; each Envoy and external processor with what it acknowledged, or
refuses, in its own words; each server's endpoints, as the Envoys see them whose admin
interface can be asked; the routes. With SERVER, only that server and the routes to it, and what
the control plane measures of it: each endpoint's score with its parts, the layer that is bad, the tier and since
when, what was done by whom, and what callers saw.

Exit codes: 0 everybody has what they should, 1 the control plane cannot be asked,
or something is refused, silent, not healthy, broken or otherwise wrong, 2 the command was not understood.`

// rememberedRevisions is how far back versions are shown as numbers of revisions.
const rememberedRevisions = 100

type statusFlags struct {
	connectionFlags
	format      format
	envoyAdmins []string
	all         bool
}

func (s *statusFlags) addStatus(cmd *cobra.Command, env *environment) {
	f := cmd.Flags()
	f.StringSliceVar(&s.envoyAdmins, "envoy-admin", nil, "`host:port` of the admin interface of Envoys to ask for the health of\nendpoints; may be repeated (default: that of the running 'holdfast up')")
	f.BoolVar(&s.all, "all", false, "every row of long tables")
	s.add(cmd, env)
	cmd.ValidArgsFunction = firstOnly(s.completeServers(env))
}

func atMostOneServer(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef(cmd.Name() + " shows one server, or all of them")
	}
	return nil
}

func newStatus(env *environment) *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use: "status [SERVER]", Short: "Show how things are: revision, nodes, servers, routes", Long: statusHelp,
		Args: atMostOneServer,
		RunE: func(cmd *cobra.Command, args []string) error { return showStatus(cmd.Context(), env, &flags, args) },
	}
	flags.format.add(cmd, "")
	flags.addStatus(cmd, env)
	return cmd
}

func showStatus(ctx context.Context, env *environment, flags *statusFlags, args []string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	admins, err := flags.envoys(flags.envoyAdmins)
	if err != nil {
		return err
	}
	status, err := client.Status(ctx, &adminv1.StatusRequest{})
	if err != nil {
		return err //nolint:wrapcheck // in words already
	}
	unasked := fillHealth(status, askEnvoys(ctx, admins))
	closeAll(admins)
	if len(args) == 1 {
		if err := only(status, args[0]); err != nil {
			return err
		}
		// A control plane that measures nothing, or an older one, has nothing to add.
		if health, err := client.GetHealth(ctx, &adminv1.GetHealthRequest{Server: args[0]}); err == nil {
			status.Health = health
		}
	}
	if flags.format != formatTable {
		if err := writeMessage(env.Stdout, flags.format, status); err != nil {
			return err
		}
	} else {
		view := statusView{
			status: status, now: time.Now(), color: env.painter(env.Stdout), all: flags.all,
			numbers: revisionNumbers(ctx, client), unasked: unasked,
		}
		say(env.Stdout, "%s", view.text())
	}
	if !healthy(status) || unwell(status.GetHealth()) || len(sick(status)) > 0 || len(brokenTools(status)) > 0 {
		return errSilent
	}
	return nil
}

// revisionNumbers are those of the last revisions by version; empty where they cannot
// be had, since versions say it too.
func revisionNumbers(ctx context.Context, client *apiclient.Client) map[string]uint64 {
	answer, err := client.History(ctx, &adminv1.HistoryRequest{Limit: rememberedRevisions})
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for _, r := range answer.GetRevisions() {
		out[r.GetVersion()] = max(out[r.GetVersion()], r.GetNumber())
	}
	return out
}

// healthy: there is a configuration, and nobody refuses anything or is silent.
func healthy(s *adminv1.StatusResponse) bool {
	if !s.GetReady() || s.GetRejected() != nil || s.GetRefused().GetStanding() || len(s.GetProblems()) > 0 {
		return false
	}
	return !slices.ContainsFunc(s.GetNodes(), func(n *adminv1.Node) bool {
		return n.GetSync() == apiclient.SyncRejected || n.GetSync() == apiclient.SyncSilent
	})
}

// unwell: an endpoint is not as it should be, or callers leave a region.
func unwell(h *adminv1.GetHealthResponse) bool {
	return slices.ContainsFunc(h.GetRegions(), func(r *adminv1.RegionHealth) bool {
		return r.GetAway() > 0 || slices.ContainsFunc(r.GetEndpoints(), func(e *adminv1.MeasuredEndpoint) bool { return e.GetTier() != tierSteady })
	})
}

// only leaves one server, and the routes to it.
func only(s *adminv1.StatusResponse, server string) error {
	names := make([]string, 0, len(s.GetServers()))
	for _, known := range s.GetServers() {
		names = append(names, known.GetName())
	}
	if !slices.Contains(names, server) {
		if len(names) == 0 {
			return fmt.Errorf("there is no server %q: there are none", server)
		}
		return fmt.Errorf("there is no server %q; there are %s", server, listed(names))
	}
	s.Servers = slices.DeleteFunc(s.GetServers(), func(known *adminv1.Server) bool { return known.GetName() != server })
	s.Breakers = slices.DeleteFunc(s.GetBreakers(), func(b *adminv1.Breaker) bool { return b.GetServer() != server })
	s.Routes = slices.DeleteFunc(s.GetRoutes(), func(r *adminv1.Route) bool { return !slices.Contains(r.GetServers(), server) })
	return nil
}

// listed names some of many.
func listed(names []string) string {
	const some = 10
	if len(names) <= some {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:some], ", "), len(names)-some)
}

// envoyHealth is what one Envoy says of the endpoints, or why it says nothing.
type envoyHealth struct {
	node   string
	health []envoyadmin.Health
	err    error
}

// askEnvoys asks them, all at the same time, how they see the endpoints.
func askEnvoys(ctx context.Context, admins []*envoyadmin.Client) []envoyHealth {
	answers := make([]envoyHealth, len(admins))
	var asking sync.WaitGroup
	for i, admin := range admins {
		asking.Go(func() {
			a := &answers[i]
			if a.node, a.err = admin.NodeID(ctx); a.err == nil {
				a.health, a.err = admin.Clusters(ctx)
			}
		})
	}
	asking.Wait()
	return answers
}

// fillHealth puts the answers to the endpoints of s, and says of whom there are none.
func fillHealth(s *adminv1.StatusResponse, answers []envoyHealth) []string {
	for _, server := range s.GetServers() {
		for _, region := range server.GetRegions() {
			for _, e := range region.GetEndpoints() {
				e.Health = nil
			}
		}
	}
	var unasked []string
	for _, a := range answers {
		if a.err != nil {
			unasked = append(unasked, a.err.Error())
			continue
		}
		addHealth(s, a.node, a.health)
	}
	return unasked
}

// addHealth puts what one Envoy says to the endpoints; one that it does not know is unknown to it.
func addHealth(s *adminv1.StatusResponse, node string, health []envoyadmin.Health) {
	type key struct{ server, region, address string }
	known := make(map[key]envoyadmin.Health, len(health))
	for _, h := range health {
		known[key{h.Cluster, h.Region, h.Address}] = h
	}
	for _, server := range s.GetServers() {
		for _, region := range server.GetRegions() {
			for _, e := range region.GetEndpoints() {
				h, ok := known[key{server.GetName(), region.GetName(), e.GetAddress()}]
				if !ok {
					h.State = envoyadmin.Unknown
				}
				e.Health = append(e.Health, &adminv1.EndpointHealth{Node: node, State: h.State, By: h.By})
			}
		}
	}
}

func closeAll(admins []*envoyadmin.Client) {
	for _, admin := range admins {
		admin.Close()
	}
}
