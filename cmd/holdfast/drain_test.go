package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// someDrains has one of each kind, and hostile words.
func someDrains() []*adminv1.Drain {
	return []*adminv1.Drain{
		{Region: "asia-south1", Since: minutesAgo(3), SessionsUntil: minutesAhead(2), Until: minutesAhead(60), By: "operator asha", Reason: "database upgrade"},
		{Server: "orders", Endpoint: "standby-delhi", Since: minutesAgo(30), SessionsUntil: minutesAgo(25), By: "operator \x1b[31mx", Reason: "odd\nwords"},
	}
}

func drainPlane() *plane { return &plane{drains: someDrains()} }

func drainedStatus() *plane {
	s := goodStatus()
	s.Drains = someDrains()
	return &plane{statuses: []*adminv1.StatusResponse{s}}
}

var drainLines = []apiLine{
	{"drain-list", drainPlane, "", []string{"drain"}},
	{"drain-list-json", drainPlane, "", []string{"drain", "-o", "json"}},
	{"drain-list-none", func() *plane { return &plane{} }, "", []string{"drain"}},
	{"drain-region", drainPlane, "", []string{"drain", "asia-south1", "--for", "2h", "--reason", "database upgrade"}},
	{"drain-endpoint", drainPlane, "", []string{"drain", "primary-mumbai", "--of", "orders", "--sessions", "30m"}},
	{"drain-last", func() *plane {
		return &plane{refuse: refused(connect.CodeFailedPrecondition, `no healthy region of server "orders" would be left: asia-south1 drained, asia-south2 unhealthy; with force it is done all the same`)}
	}, "", []string{"drain", "asia-south1"}},
	{"drain-unknown", func() *plane {
		return &plane{refuse: refused(connect.CodeNotFound, `not found: there is no region or endpoint named "asia-sout1"; did you mean "asia-south1"?`)}
	}, "", []string{"drain", "asia-sout1"}},
	{"drain-short", drainPlane, "", []string{"drain", "asia-south1", "--for", "10ms"}},
	{"drain-two", drainPlane, "", []string{"drain", "asia-south1", "asia-south2"}},
	{"undrain", drainPlane, "", []string{"undrain", "asia-south1"}},
	{"undrain-nothing", drainPlane, "", []string{"undrain"}},
	{"status-drained", drainedStatus, "", []string{"status"}},
}

func TestDrainSends(t *testing.T) {
	p := drainPlane()
	startPlane(t, p)
	before := time.Now()
	ask(t, p, "", "drain", "asia-south1", "--for", "30m", "--reason", "upgrade", "--force")
	ask(t, p, "", "drain", "primary-mumbai", "--of", "orders", "--sessions", "0s", "--author", "asha")
	ask(t, p, "", "undrain", "asia-south1", "--reason", "done")
	if len(p.drained) != 3 {
		t.Fatalf("%d requests", len(p.drained))
	}
	if until := p.drained[0].GetUntil().AsTime().Sub(before); until < 29*time.Minute || until > 31*time.Minute {
		t.Errorf("until %s", until)
	}
	p.drained[0].Until = nil
	sameMessage(t, p.drained[0], &adminv1.SetDrainRequest{Target: "asia-south1", Reason: "upgrade", Force: true, Author: "akhil", Sessions: durationpb.New(5 * time.Minute)})
	sameMessage(t, p.drained[1], &adminv1.SetDrainRequest{Server: "orders", Target: "primary-mumbai", Author: "asha", Sessions: durationpb.New(0)})
	sameMessage(t, p.drained[2], &adminv1.SetDrainRequest{Target: "asia-south1", Undrain: true, Reason: "done", Author: "akhil"})
}

func TestWatchTellsOfDrains(t *testing.T) {
	w := &watcher{status: drainedStatus().statuses[0], said: map[string]string{}}
	if told := w.news(); !slices.ContainsFunc(told, func(s string) bool {
		return strings.Contains(s, "asia-south1 of every server: drained, by operator asha: database upgrade")
	}) {
		t.Errorf("%q", told)
	}
	w.status = goodStatus()
	if told := strings.Join(w.news(), "\n"); !strings.Contains(told, "asia-south1 of every server: in service again") {
		t.Errorf("back: %s", told)
	}
}
