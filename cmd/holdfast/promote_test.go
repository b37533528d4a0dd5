package main

import (
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func promotePlane() *plane { return &plane{apply: madeRevision12()} }

var promoteLines = []apiLine{
	{"failback", promotePlane, "", []string{"failback", "orders", "--reason", "repaired"}},
	{"failback-json", promotePlane, "", []string{"failback", "orders", "asia-south1", "-o", "json"}},
	{"failback-nothing", promotePlane, "", []string{"failback"}},
	{"failback-not-well", func() *plane {
		return &plane{refuse: refused(connect.CodeFailedPrecondition, `asia-south1 of server "orders": not well yet; callers would leave again`)}
	}, "", []string{"failback", "orders"}},
	{"promote", promotePlane, "", []string{"promote", "orders", "asia-south2", "--reason", "Mumbai is being moved"}},
	{"promote-dry-run", promotePlane, "", []string{"promote", "orders", "asia-south2", "--dry-run"}},
	{"promote-one", promotePlane, "", []string{"promote", "orders"}},
	{"promote-unknown", func() *plane {
		return &plane{refuse: refused(connect.CodeNotFound, `not found: there is no region of orders named "asia-sout2"; did you mean "asia-south2"?`)}
	}, "", []string{"promote", "orders", "asia-sout2"}},
}

func TestPromoteAndFailbackSend(t *testing.T) {
	p := promotePlane()
	startPlane(t, p)
	ask(t, p, "", "failback", "orders", "asia-south1", "--reason", "repaired", "--author", "asha")
	ask(t, p, "", "promote", "orders", "asia-south2", "--reason", "moved", "--force", "--dry-run")
	if len(p.failedBack) != 1 || len(p.promoted) != 1 {
		t.Fatalf("%v, %v", p.failedBack, p.promoted)
	}
	sameMessage(t, p.failedBack[0], &adminv1.FailbackRequest{Server: "orders", Region: "asia-south1", Reason: "repaired", Author: "asha"})
	sameMessage(t, p.promoted[0], &adminv1.PromoteRequest{Server: "orders", Region: "asia-south2", Reason: "moved", Force: true, DryRun: true, Author: "akhil"})
}
