package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

func TestNews(t *testing.T) {
	at := func(version, phase string) *status.Status {
		return &status.Status{
			Revision: &status.Revision{Version: version, Phase: phase},
			Nodes:    []status.Node{{Sync: status.Synced}, {Sync: status.Pending}},
		}
	}
	refused := at("aaaaaaaaaaaaaaaa", "done")
	refused.Refused = &status.Refused{Error: "one\ntwo\nthree\nfour\n", Standing: true}
	put := at("aaaaaaaaaaaaaaaa", "done")
	put.Refused = &status.Refused{Error: "one\ntwo\nthree\nfour\n"}
	rejected := at("aaaaaaaaaaaaaaaa", "done")
	rejected.Rejected = &status.Rejected{Version: "bbbbbbbbbbbbbbbb", Node: "envoy-1", Detail: "no"}
	numbered := at("cccccccccccccccc", "done")
	numbered.Revision.Number = 7
	var n news
	for i, step := range []struct {
		status *status.Status
		want   []string
	}{
		{at("aaaaaaaaaaaaaaaa", "done"), nil}, // what it started with
		{at("bbbbbbbbbbbbbbbb", "switch"), nil},
		{at("bbbbbbbbbbbbbbbb", "done"), []string{"  configuration bbbbbbbbbbbb applied, by 1 of 2 nodes"}},
		{at("bbbbbbbbbbbbbbbb", "done"), nil},
		{at("aaaaaaaaaaaaaaaa", "done"), []string{"  configuration aaaaaaaaaaaa applied, by 1 of 2 nodes"}},
		{refused, []string{"! configuration refused, nothing changes:", "    one", "    two", "    three", "    and 1 more"}},
		{refused, nil},
		{put, []string{"  the configuration is in order again"}},
		{put, nil},
		{refused, []string{"! configuration refused, nothing changes:", "    one", "    two", "    three", "    and 1 more"}},
		{rejected, []string{"  the configuration is in order again", "! configuration bbbbbbbbbbbb rejected by envoy-1, taken back: no"}},
		{rejected, nil},
		{numbered, []string{"  revision 7 applied, by 1 of 2 nodes"}},
	} {
		if diff := cmp.Diff(step.want, n.changes(step.status, i == 0)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}
