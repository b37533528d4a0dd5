package apiclient

import (
	"testing"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// world is a status in short: revision 2 ("new") goes out after 1 ("old").
func world(phase, version string, nodes ...*adminv1.Node) *adminv1.StatusResponse {
	return &adminv1.StatusResponse{
		Revision: &adminv1.Revision{Number: 2, Version: "new"},
		Rollout:  &adminv1.Rollout{Phase: phase, Version: version, Active: version}, Nodes: nodes,
	}
}

func envoy(sync string, versions ...string) *adminv1.Node {
	return &adminv1.Node{Id: "e", Kind: KindEnvoy, Sync: sync, Revisions: versions}
}

func processor(sync string) *adminv1.Node {
	return &adminv1.Node{Id: "p", Kind: "extproc", Sync: sync}
}

func nacking(n *adminv1.Node, version string, standing bool) *adminv1.Node {
	n.Nack = &adminv1.Nack{Revision: version, Type: "clusters", Detail: "no", Standing: standing}
	return n
}

func rejected(s *adminv1.StatusResponse, version string) *adminv1.StatusResponse {
	s.Rejected = &adminv1.Rejected{Version: version, Node: "gone", Type: "routes", Detail: "no"}
	return s
}

func newest(s *adminv1.StatusResponse, number uint64, version string) *adminv1.StatusResponse {
	s.Revision = &adminv1.Revision{Number: number, Version: version}
	return s
}

func older(s *adminv1.StatusResponse) *adminv1.StatusResponse {
	s.Rollout.Active = "old"
	return s
}

func waiting(s *adminv1.StatusResponse) *adminv1.StatusResponse {
	s.Rollout.Next = "new"
	return s
}

func TestProgressOf(t *testing.T) {
	for _, test := range []struct {
		name             string
		status           *adminv1.StatusResponse
		stage            Stage
		settled, taken   bool
		holding, refused int
	}{
		{"everybody", world("done", "new", envoy("synced", "new"), processor("synced")), Done, true, false, 2, 0},
		{"nobody there", world("done", "new"), Done, true, false, 0, 0},
		{"before the last phase", world("prune", "new", envoy("synced", "new"), processor("synced")), Waiting, false, false, 2, 0},
		{"two versions side by side", world("switch", "new", envoy("synced", "new", "old")), Waiting, false, false, 0, 0},
		{"processor with older policies", older(world("switch", "new", envoy("synced", "new"), processor("synced"))), Waiting, false, false, 1, 0},
		{"late node", world("done", "new", envoy("silent", "new", "old"), processor("synced")), Waiting, false, false, 1, 0},
		{"its turn has not come", waiting(world("add", "old", envoy("synced", "old"))), Waiting, false, false, 0, 0},
		{"the status before it", newest(world("done", "old", envoy("synced", "old")), 1, "old"), Waiting, false, false, 0, 0},
		{"no rollout at all", &adminv1.StatusResponse{}, Waiting, false, false, 0, 0},
		{"refused, others under way", world("add", "new", nacking(envoy("rejected", "old"), "new", true), processor("pending")), Rejected, false, false, 0, 1},
		{"refused, others have it", world("done", "new", nacking(envoy("rejected", "old"), "new", true), processor("synced")), Rejected, true, false, 1, 1},
		{"refused, version forgotten", world("done", "new", nacking(envoy("rejected", "old"), "", true)), Rejected, true, false, 0, 1},
		{"refused an older one", world("add", "new", nacking(envoy("pending", "new"), "older", true)), Waiting, false, false, 0, 0},
		{"refused once, took it then", world("done", "new", nacking(envoy("synced", "new"), "new", false)), Done, true, false, 1, 0},
		{"refused by who is gone", rejected(world("done", "new", envoy("synced", "new")), "new"), Rejected, true, false, 1, 1},
		{"another one was refused", rejected(world("done", "new", envoy("synced", "new")), "older"), Done, true, false, 1, 0},
		{"on the way back", rejected(world("add", "old", envoy("pending", "old")), "new"), Rejected, false, true, 0, 1},
		{"taken back", rejected(newest(world("done", "old", envoy("synced", "old")), 3, "old"), "new"), Rejected, true, true, 0, 1},
		{"overtaken", newest(world("add", "newer", envoy("pending", "newer")), 3, "newer"), Overtaken, true, false, 0, 0},
		{"a newer one waits", newest(world("add", "new", envoy("pending", "new")), 3, "newer"), Waiting, false, false, 0, 0},
		{"a newer one waits, this is done", newest(world("done", "new", envoy("synced", "new")), 3, "newer"), Done, true, false, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := ProgressOf(test.status, Target{Number: 2, Version: "new"})
			holding := 0
			for _, n := range p.Nodes {
				if n.Holds {
					holding++
				}
				if n.Holds && n.Refuses {
					t.Errorf("%s holds and refuses it", n.GetId())
				}
			}
			if p.Stage != test.stage || p.Settled != test.settled || p.TakenBack != test.taken || holding != test.holding || len(p.Refusals) != test.refused {
				t.Errorf("stage %d, settled %v, taken back %v, %d hold it, refusals %v", p.Stage, p.Settled, p.TakenBack, holding, p.Refusals)
			}
		})
	}
}
