package control

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

const versionedShop = `
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{name: one, address: "127.0.0.1:7101"}]}]
---
kind: MCPServer
metadata: {name: orders-v2}
spec:
  regions: [{name: asia-south1, endpoints: [{name: two, address: "NEW"}]}]
---
kind: MCPRoute
metadata: {name: shop}
spec: {servers: [{name: orders}]}
`

func versioned(address string) string { return strings.Replace(versionedShop, "NEW", address, 1) }

func (p *plane) succeedAs(step adminv1.SuccessionStep, request *adminv1.SucceedRequest) (*adminv1.SucceedResponse, error) {
	p.t.Helper()
	request.Server, request.Step = "orders", step
	return p.Backend().Succeed(p.t.Context(), request, caller)
}

func (p *plane) mustSucceed(step adminv1.SuccessionStep, request *adminv1.SucceedRequest) *adminv1.SucceedResponse {
	p.t.Helper()
	answer, err := p.succeedAs(step, request)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

func (p *plane) canary() *adminv1.Canary {
	p.t.Helper()
	answer, err := p.Backend().ListCanaries(p.t.Context(), &adminv1.ListCanariesRequest{})
	if err != nil || len(answer.GetCanaries()) != 1 {
		p.t.Fatalf("%v, %v", answer, err)
	}
	return answer.GetCanaries()[0]
}

// successor says what the newest revision has, and whether that is held against a file.
func (p *plane) successor() (to string, share int, pinned bool) {
	p.t.Helper()
	r, _ := p.newest().Get(revisions.Ref{Kind: config.KindMCPServer, Name: "orders"})
	next, err := config.SuccessorOf(r.YAML)
	if err != nil {
		p.t.Fatal(err)
	}
	if next == nil {
		return "", 0, r.Pinned
	}
	return next.Server, int(*next.Share), r.Pinned
}

// calls has a processor tell of calls.
func (p *plane) calls(good, newGood, newFailed uint32) {
	p.observe(&outcomev1.Summary{Counts: []*outcomev1.Count{
		{Server: "orders", Method: "tools/call", Tool: "get_order", Good: good},
		{Server: "orders-v2", Method: "tools/call", Tool: "get_order", Good: newGood, Failed: newFailed, FailedPrincipals: []uint64{1, 2}[:min(newFailed, 2)], GoodPrincipals: []uint64{1, 2}},
	}})
}

const (
	start   = adminv1.SuccessionStep_SUCCESSION_STEP_START
	promote = adminv1.SuccessionStep_SUCCESSION_STEP_PROMOTE
	abort   = adminv1.SuccessionStep_SUCCESSION_STEP_ABORT
	turn    = adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH
	back    = adminv1.SuccessionStep_SUCCESSION_STEP_BACK
)

// TestBadCanaryIsTakenBack, also after the control plane was started again: by a revision that says why, after which the files are
// what counts again.
func TestBadCanaryIsTakenBack(t *testing.T) {
	site := newSite(t)
	site.write(versioned("127.0.0.1:7102"))
	p := site.start()
	p.settled("")
	made := p.mustSucceed(start, &adminv1.SucceedRequest{To: "orders-v2", Share: 5, Each: durationpb.New(time.Hour), Reason: "release"})
	if r := made.GetRevision(); r.GetAuthor() != caller || r.GetReason() != "release" || made.GetCanary().GetShare() != 5 {
		t.Errorf("%v", made)
	}
	if to, share, pinned := p.successor(); to != "orders-v2" || share != 5 || !pinned {
		t.Errorf("%s %d %v", to, share, pinned)
	}
	if _, err := p.succeedAs(start, &adminv1.SucceedRequest{To: "orders-v2"}); api.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("a second canary: %v", err)
	}
	p.stop()

	p = site.start()
	p.settled("")
	p.calls(900, 97, 3)
	if c := p.canary(); c.GetState() != adminv1.CanaryState_CANARY_STATE_RUNNING || c.GetSuccessorFailed() != 3 || c.GetBy() != caller {
		t.Errorf("%v", c)
	}
	p.calls(900, 80, 20)
	waitFor(t, "rollback", func() bool { return p.canary().GetState() == adminv1.CanaryState_CANARY_STATE_ROLLED_BACK })
	if head := p.newest(); head.Author != "holdfast" || !strings.Contains(head.Reason, "23 of 200 calls failed, against 0 of 1800") {
		t.Errorf("by %s: %s", head.Author, head.Reason)
	}
	if to, _, pinned := p.successor(); to != "" || pinned {
		t.Errorf("%s %v", to, pinned)
	}
	if _, err := p.Backend().Apply(t.Context(), &adminv1.ApplyRequest{}, "holdfast"); api.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("somebody else makes revisions in this name: %v", err)
	}
}

// TestGoodCanaryGetsMore, share by share, where each has had enough calls; and no failure of its own later takes it back.
func TestGoodCanaryGetsMore(t *testing.T) {
	site := newSite(t)
	site.write(versioned("127.0.0.1:7102"))
	p := site.start()
	p.settled("")
	p.mustSucceed(start, &adminv1.SucceedRequest{To: "orders-v2", Each: durationpb.New(time.Millisecond)})
	waitFor(t, "waiting", func() bool { return strings.Contains(p.canary().GetWhy(), "waits for 200 calls") })
	for _, share := range []uint32{25, 50, 100} {
		p.calls(900, leastCalls, 0)
		waitFor(t, "next share", func() bool { return p.canary().GetShare() == share })
		if to, got, _ := p.successor(); to != "orders-v2" || got != int(share) {
			t.Errorf("%s %d, want %d", to, got, share)
		}
		if head := p.newest(); head.Author != "holdfast" || !strings.Contains(head.Reason, "did no worse") {
			t.Errorf("by %s: %s", head.Author, head.Reason)
		}
	}
	p.calls(0, 0, 10_000)
	if c := p.canary(); c.GetState() != adminv1.CanaryState_CANARY_STATE_PROMOTED {
		t.Errorf("%v", c)
	}
}

// TestOperatorsWordOnCanaries: promote and abort; a file that is changed is what counts.
func TestOperatorsWordOnCanaries(t *testing.T) {
	site := newSite(t)
	site.write(versioned("127.0.0.1:7102"))
	p := site.start()
	p.settled("")
	for step, code := range map[adminv1.SuccessionStep]connect.Code{promote: connect.CodeFailedPrecondition, abort: connect.CodeFailedPrecondition, back: connect.CodeFailedPrecondition} {
		if _, err := p.succeedAs(step, &adminv1.SucceedRequest{}); api.CodeOf(err) != code {
			t.Errorf("%s of nothing: %v", step, err)
		}
	}
	if _, err := p.succeedAs(start, &adminv1.SucceedRequest{To: "mars"}); api.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("a server that there is not: %v", err)
	}
	if _, err := p.succeedAs(start, &adminv1.SucceedRequest{To: "orders"}); api.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("itself: %v", err)
	}
	p.mustSucceed(start, &adminv1.SucceedRequest{To: "orders-v2"})
	if c := p.mustSucceed(promote, &adminv1.SucceedRequest{Reason: "in a hurry"}).GetCanary(); c.GetShare() != 25 {
		t.Errorf("%v", c)
	}
	if head := p.newest(); head.Author != caller || head.Reason != "in a hurry" {
		t.Errorf("by %s: %s", head.Author, head.Reason)
	}
	if c := p.mustSucceed(abort, &adminv1.SucceedRequest{Reason: "wrong build"}).GetCanary(); c.GetState() != adminv1.CanaryState_CANARY_STATE_ABORTED {
		t.Errorf("%v", c)
	}
	if to, _, pinned := p.successor(); to != "" || pinned {
		t.Errorf("%s %v", to, pinned)
	}
	p.mustSucceed(start, &adminv1.SucceedRequest{To: "orders-v2"})
	site.write(strings.Replace(versioned("127.0.0.1:7102"), "name: one,", "name: first,", 1))
	waitFor(t, "the file counts", func() bool { return p.canary().GetState() == adminv1.CanaryState_CANARY_STATE_OVERTAKEN })
}

// TestSwitchAndBack: nothing is switched to what does not answer; what does has everything, until it is taken back.
func TestSwitchAndBack(t *testing.T) {
	site := newSite(t)
	server := mcp.NewServer(&mcp.Implementation{Name: "orders", Version: "2"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "get_order"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{}, nil, nil
	})
	up := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true}))
	address := strings.TrimPrefix(up.URL, "http://")
	site.write(versioned(address))
	p := site.start()
	p.settled("")
	number := p.newest().Number
	p.mustSucceed(turn, &adminv1.SucceedRequest{To: "orders-v2", Reason: "release"})
	if to, share, _ := p.successor(); to != "orders-v2" || share != 100 || p.newest().Number != number+1 {
		t.Errorf("%s %d, revision %d", to, share, p.newest().Number)
	}
	p.mustSucceed(back, &adminv1.SucceedRequest{})
	if to, _, pinned := p.successor(); to != "" || pinned || p.newest().Number != number+2 {
		t.Errorf("%s %v, revision %d", to, pinned, p.newest().Number)
	}
	up.Close()
	_, err := p.succeedAs(turn, &adminv1.SucceedRequest{To: "orders-v2"})
	if api.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "two: handshake: failed") || p.newest().Number != number+2 {
		t.Errorf("a server that is down: %v", err)
	}
}

// TestSpoiltCanaries: what cannot be read stops nothing.
func TestSpoiltCanaries(t *testing.T) {
	site := newSite(t)
	site.write(versioned("127.0.0.1:7102"))
	site.start().stop()
	if err := os.WriteFile(filepath.Join(site.state, "canaries.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := site.start()
	p.settled("")
	p.mustSucceed(start, &adminv1.SucceedRequest{To: "orders-v2"})
	if p.canary().GetShare() != 10 {
		t.Errorf("%v", p.canary())
	}
}
