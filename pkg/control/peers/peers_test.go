package peers

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

// TestPick: everybody gets about an even part, and when one goes only its endpoints move.
func TestPick(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	parts := map[string]int{}
	for i := range 4000 {
		endpoint := fmt.Sprint("e", i)
		before := pick(all, "orders", endpoint)
		parts[before]++
		if after := pick([]string{"a", "b", "d"}, "orders", endpoint); before != "c" && after != before {
			t.Fatalf("%s moves from %s to %s although both are there", endpoint, before, after)
		}
		if slices.Reverse(all); pick(all, "orders", endpoint) != before {
			t.Fatalf("%s depends on the order", endpoint)
		}
	}
	for name, n := range parts {
		if n < 800 || n > 1200 {
			t.Errorf("%s has %d of 4000", name, n)
		}
	}
}

// TestSilentPeersAreGone: who says nothing for a while is no peer any more, and its endpoints are this one's.
func TestSilentPeersAreGone(t *testing.T) {
	changes := 0
	f := New(Options{Changed: func() { changes++ }})
	f.hears("other")
	if f.Peers() != 1 || changes != 1 {
		t.Fatalf("%d peers, %d changes", f.Peers(), changes)
	}
	mine := 0
	for i := range 100 {
		if f.Mine("orders", fmt.Sprint(i)) {
			mine++
		}
	}
	if mine == 0 || mine == 100 {
		t.Errorf("%d of 100 are this one's", mine)
	}
	f.look(time.Now().Add(silence - time.Second))
	if f.Peers() != 1 {
		t.Error("gone before its time")
	}
	f.look(time.Now().Add(silence + time.Second))
	if f.Peers() != 0 || changes != 2 || !f.Mine("orders", "1") {
		t.Errorf("%d peers, %d changes", f.Peers(), changes)
	}
	for i := range MaxPeers + 5 {
		f.hears(fmt.Sprint("peer", i))
	}
	if f.Peers() != MaxPeers {
		t.Errorf("%d peers", f.Peers())
	}
}

// TestWordsComeInParts: all that is known is told, each time what is new, within the bound of a word.
func TestWordsComeInParts(t *testing.T) {
	f := New(Options{})
	for i := range maxFindings + 10 {
		f.Share(outlier.Finding{Server: "orders", Endpoint: fmt.Sprint(i)})
	}
	first, at := f.word(0)
	second, at := f.word(at)
	if len(first.GetFindings()) != maxFindings || len(second.GetFindings()) != 10 {
		t.Errorf("%d and %d", len(first.GetFindings()), len(second.GetFindings()))
	}
	if third, _ := f.word(at); len(third.GetFindings()) != 0 || third.GetInstance() == "" {
		t.Errorf("%v", third)
	}
	f.Share(outlier.Finding{Server: "orders", Endpoint: "7"})
	if fourth, _ := f.word(at); len(fourth.GetFindings()) != 1 {
		t.Errorf("%v", fourth)
	}
}

func TestFindingsAreTheSameThere(t *testing.T) {
	cpu, now := 0.5, time.Now().UTC()
	in := outlier.Finding{Server: "orders", Endpoint: "primary", Standings: []probe.Standing{
		{Layer: probe.TCP, Outcome: probe.Good, Since: now, Confirmed: now, Last: probe.Result{Layer: probe.TCP, Outcome: probe.Failed, Began: now, Took: time.Second, Detail: "no answer"}},
		{Layer: probe.Metrics, Last: probe.Result{Layer: probe.Metrics, CPU: &cpu}},
	}}
	out, ok := finding(message(in))
	if diff := cmp.Diff(in, out, cmpopts.IgnoreUnexported(probe.Standing{})); !ok || diff != "" {
		t.Error(diff)
	}
}

func TestOddFindingsAreNotTaken(t *testing.T) {
	odd := math.NaN()
	layer := func(l *outcomev1.Layer) *outcomev1.Finding {
		return &outcomev1.Finding{Server: "orders", Endpoint: "e", Layers: []*outcomev1.Layer{l}}
	}
	for name, m := range map[string]*outcomev1.Finding{
		"nobody": {}, "no endpoint": {Server: "orders"}, "odd layer": layer(&outcomev1.Layer{Name: "ether"}),
		"odd outcome": layer(&outcomev1.Layer{Name: "tcp", Outcome: 9}), "odd share": layer(&outcomev1.Layer{Name: "tcp", Cpu: &odd}),
		"odd time": layer(&outcomev1.Layer{Name: "tcp", Since: &timestamppb.Timestamp{Nanos: -1}}), "odd duration": layer(&outcomev1.Layer{Name: "tcp", Took: -1}),
		"twice": {Server: "orders", Endpoint: "e", Layers: []*outcomev1.Layer{{Name: "tcp"}, {Name: "tcp"}}},
	} {
		if f, ok := finding(m); ok {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f, ok := finding(layer(&outcomev1.Layer{Name: "tcp", Detail: "a\x1b[31m\nb"})); !ok || f.Standings[0].Last.Detail != "a [31m b" {
		t.Errorf("%+v", f)
	}
}
