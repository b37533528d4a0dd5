package control

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

const caller = "priya"

// apply gives documents to the API.
func (p *plane) apply(request *adminv1.ApplyRequest) *adminv1.ApplyResponse {
	p.t.Helper()
	answer, err := p.Backend().Apply(p.t.Context(), request, caller)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

// applied gives documents to the API and waits until they are with everybody.
func (p *plane) applied(request *adminv1.ApplyRequest) *adminv1.Revision {
	p.t.Helper()
	r := p.apply(request).GetRevision()
	p.until("revision that is applied", func(s status.Status) bool {
		return s.Revision != nil && s.Revision.Version == r.GetVersion() && s.Revision.Phase == "done" && s.Revision.Active == r.GetVersion()
	})
	return r
}

func (p *plane) history() []*adminv1.Revision {
	p.t.Helper()
	answer, err := p.Backend().History(p.t.Context(), &adminv1.HistoryRequest{Limit: 100})
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.GetRevisions()
}

// told is a revision in one line, but for its version and time.
func told(r *adminv1.Revision) string {
	out := r.GetAuthor() + ": " + r.GetReason() + " [" + strings.Join(r.GetChanges(), ", ") + "]"
	if r.GetRollbackOf() > 0 {
		out += " (rollback)"
	}
	return out
}

const mail = `
kind: MCPServer
metadata: {name: mail}
spec:
  regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7301"}]}]
`

func TestEachChangeIsARevision(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	e := p.envoy("e1", peerOptions{})
	x := p.processor("x1", peerOptions{})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	waitFor(t, "policies", func() bool { return len(x.versions()[names.TypeURLRoutePolicy]) == 1 })

	second := p.applied(&adminv1.ApplyRequest{Documents: mail, Reason: "mail is new", BaseRevision: 1})
	if second.GetNumber() != 2 || second.GetVersion() == first {
		t.Fatalf("revision %v", second)
	}
	waitFor(t, "the new cluster", func() bool { return e.clusters()["mail"] != nil })
	s.write(shop{connectTimeout: "2s"}.yaml())
	p.until("the directory's change", func(st status.Status) bool { return st.Head.Number == 3 && st.Revision.Phase == "done" })
	if e.clusters()["mail"] == nil {
		t.Fatal("a change of the directory took away what belongs to the API")
	}
	// A comment is a change of the text, and of nothing that a node is given.
	e.staysQuiet(envoyTypes...)
	version := p.Status().Head.Version
	s.write("# teach people something\n" + shop{connectTimeout: "2s"}.yaml())
	p.until("the comment", func(st status.Status) bool { return st.Head.Number == 4 && st.Head.Version == version })
	e.staysQuiet(envoyTypes...)
	p.applied(&adminv1.ApplyRequest{Remove: []*adminv1.ResourceRef{{Kind: config.KindMCPServer, Name: "mail"}}})

	var got []string
	for _, r := range p.history() {
		got = append(got, told(r))
	}
	want := []string{
		"priya:  [- MCPServer/mail]",
		"directory: changed: holdfast.yaml [~ MCPServer/orders]",
		"directory: changed: holdfast.yaml [~ MCPServer/orders]",
		"priya: mail is new [+ MCPServer/mail]",
		"directory: changed: holdfast.yaml [+ MCPRoute/shop, + MCPServer/orders]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("history (-want +got):\n%s", diff)
	}
	st := p.Status()
	if st.Head.Number != 5 || st.Head.Author != caller || st.Revision.Number != 5 || len(st.Routes) != 1 || st.Routes[0].Path != "/mcp" || st.Routes[0].ToolRules != 1 {
		t.Fatalf("status %+v, head %+v", st, st.Head)
	}
}

func TestNothingIsChangedByWhatIsRefused(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	p.applied(&adminv1.ApplyRequest{Documents: mail})
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	before := p.Status().Head
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ref := func(kind, name string) []*adminv1.ResourceRef {
		return []*adminv1.ResourceRef{{Kind: kind, Name: name}}
	}
	for _, c := range []struct {
		name    string
		request *adminv1.ApplyRequest
		ctx     context.Context
		author  string
		code    connect.Code
		words   string
	}{
		{"no YAML", &adminv1.ApplyRequest{Documents: "kind: [\n"}, nil, caller, connect.CodeInvalidArgument, "documents:"},
		{"unknown field", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "spec:", "spec:\n  colour: red", 1)}, nil, caller, connect.CodeInvalidArgument, "api:MCPServer/mail:5"},
		{"dangling reference", &adminv1.ApplyRequest{Documents: "kind: MCPRoute\nmetadata: {name: x}\nspec: {path: /x, servers: [{name: mial}]}\n"}, nil, caller, connect.CodeInvalidArgument, `"mial"`},
		{"what the directory refers to", &adminv1.ApplyRequest{Remove: ref("MCPServer", "orders")}, nil, caller, connect.CodeFailedPrecondition, "holdfast.yaml"},
		{"the directory's", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "name: mail", "name: orders", 1)}, nil, caller, connect.CodeFailedPrecondition, "holdfast.yaml"},
		{"twice", &adminv1.ApplyRequest{Documents: mail, Remove: ref("MCPServer", "mail")}, nil, caller, connect.CodeInvalidArgument, "given and removed"},
		{"not there", &adminv1.ApplyRequest{Remove: ref("MCPServer", "nobody")}, nil, caller, connect.CodeNotFound, "nobody"},
		{"stale", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "7301", "7302", 1), BaseRevision: 1}, nil, caller, connect.CodeFailedPrecondition, "+++ MCPServer/mail"},
		{"from the future", &adminv1.ApplyRequest{Documents: mail, BaseRevision: 99}, nil, caller, connect.CodeFailedPrecondition, "99"},
		{"canaries", &adminv1.ApplyRequest{Documents: mail, CanaryNodesPercent: 100}, nil, caller, connect.CodeInvalidArgument, "canary_nodes_percent"},
		{"two lines of reason", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "7301", "7302", 1), Reason: "a\nb"}, nil, caller, connect.CodeInvalidArgument, "reason"},
		{"in the directory's name", &adminv1.ApplyRequest{Documents: mail}, nil, "directory", connect.CodeInvalidArgument, "author"},
		{"nobody", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "7301", "7302", 1)}, nil, "", connect.CodeInvalidArgument, "author"},
		{"caller has gone", &adminv1.ApplyRequest{Documents: strings.Replace(mail, "7301", "7302", 1)}, gone, caller, connect.CodeCanceled, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			for _, dry := range []bool{true, false} {
				c.request.DryRun = dry
				answer, err := p.Backend().Apply(c.ctx, c.request, c.author)
				if err == nil {
					t.Fatalf("answer %v", answer)
				}
				if got := api.CodeOf(err); got != c.code || !strings.Contains(err.Error(), c.words) {
					t.Errorf("%v: %v, want %v with %q", got, err, c.code, c.words)
				}
			}
			if diff := cmp.Diff(before, p.Status().Head); diff != "" {
				t.Errorf("head (-before +after):\n%s", diff)
			}
		})
	}
	e.staysQuiet(envoyTypes...)
	if len(p.history()) != int(before.Number) {
		t.Errorf("%d revisions", len(p.history()))
	}
}

func TestDryRunAndUnchanged(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	dry := p.apply(&adminv1.ApplyRequest{Documents: mail, DryRun: true, Atomic: true})
	if r := dry.GetRevision(); r.GetNumber() != 0 || r.GetVersion() == "" || dry.GetUnchanged() || !strings.Contains(dry.GetDiff(), "+++ MCPServer/mail") {
		t.Fatalf("dry run %v", dry)
	}
	if h := p.Status().Head; h.Number != 1 {
		t.Fatalf("a dry run made revision %d", h.Number)
	}
	done := p.apply(&adminv1.ApplyRequest{Documents: mail})
	if done.GetRevision().GetVersion() != dry.GetRevision().GetVersion() || done.GetDiff() != dry.GetDiff() {
		t.Errorf("the dry run said %v, it was %v", dry, done)
	}
	again := p.apply(&adminv1.ApplyRequest{Documents: mail})
	if !again.GetUnchanged() || again.GetRevision().GetNumber() != 2 || again.GetDiff() != "" {
		t.Errorf("the same again: %v", again)
	}
}

// TestDirectoryMayBeAbsentBesideTheAPI: all resources may belong to the API.
func TestDirectoryMayBeAbsentBesideTheAPI(t *testing.T) {
	s := newSite(t)
	if err := os.Remove(s.config); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	p.until("word of the missing directory", func(st status.Status) bool { return st.Refused != nil && !st.Ready })
	b := p.Backend()
	for name, call := range map[string]func() error{
		"get":  func() error { _, err := b.Get(t.Context(), &adminv1.GetRequest{}); return err },
		"list": func() error { _, err := b.List(t.Context(), &adminv1.ListRequest{}); return err },
		"diff": func() error { _, err := b.Diff(t.Context(), &adminv1.DiffRequest{}); return err },
	} {
		if err := call(); !errors.Is(err, api.ErrNoRevision) {
			t.Errorf("%s before the first revision: %v", name, err)
		}
	}
	if _, err := b.Apply(t.Context(), &adminv1.ApplyRequest{Documents: "# nothing\n"}, caller); api.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("nothing at all: %v", err)
	}
	p.applied(&adminv1.ApplyRequest{Documents: shop{}.yaml()})
	p.until("nothing against the directory", func(st status.Status) bool { return !st.Refused.Standing })
	e := p.envoy("e1", peerOptions{})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 })
	version := p.Status().Head.Version
	p.stop()

	p = s.start()
	st := p.until("what the API was given", func(st status.Status) bool { return st.Ready && len(st.Servers) > 0 })
	if st.Head.Version != version || st.Head.Number != 1 {
		t.Fatalf("head %+v", st.Head)
	}
	p.until("the absent directory is fine", func(st status.Status) bool { return st.Refused == nil || !st.Refused.Standing })
	// An empty one is, too.
	if err := os.Mkdir(s.config, 0o700); err != nil {
		t.Fatal(err)
	}
	<-p.change()
	if st := p.Status(); st.Refused != nil && st.Refused.Standing {
		t.Fatalf("refused %+v", st.Refused)
	}
}

// TestFilesWaitForTheAPI: files may refer to what the API owns, in either order.
func TestFilesWaitForTheAPI(t *testing.T) {
	s := newSite(t)
	s.write("kind: MCPRoute\nmetadata: {name: post}\nspec: {servers: [{name: mail}]}\n")
	p := s.start()
	st := p.until("refusal", func(st status.Status) bool { return st.Refused != nil })
	if !strings.Contains(st.Refused.Error, `holdfast.yaml:3:25`) {
		t.Fatalf("refused %+v", st.Refused)
	}
	p.apply(&adminv1.ApplyRequest{Documents: mail + "---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {path: /shop, servers: [{name: mail}]}\n"})
	st = p.until("the files", func(st status.Status) bool { return st.Head.Number == 2 && !st.Refused.Standing })
	if st.Head.Author != "directory" {
		t.Fatalf("head %+v", st.Head)
	}
}

func TestRollbackPinsUntilTheFileChanges(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	first := p.settled("")
	s.write(shop{connectTimeout: "2s", servers: []string{"stock"}}.yaml())
	second := p.settled(first)
	answer, err := p.Backend().Rollback(t.Context(), &adminv1.RollbackRequest{Revision: 1, Reason: "too slow", DryRun: true}, caller)
	if err != nil || answer.GetRevision().GetNumber() != 0 || answer.GetRevision().GetRollbackOf() != 1 {
		t.Fatalf("dry run: %v, %v", answer, err)
	}
	answer, err = p.Backend().Rollback(t.Context(), &adminv1.RollbackRequest{Revision: 1, Reason: "too slow"}, caller)
	if err != nil {
		t.Fatal(err)
	}
	if r := answer.GetRevision(); r.GetNumber() != 3 || r.GetVersion() != first || r.GetRollbackOf() != 1 || r.GetAuthor() != caller {
		t.Fatalf("revision %v", r)
	}
	p.settled(second)
	want := []string{"MCPRoute/shop", "MCPServer/orders", "MCPServer/stock"}
	if got := p.Status().Pinned; !slices.Equal(got, want) {
		t.Fatalf("pinned %v, want %v", got, want)
	}
	// Neither a reading of the same files ends it, nor a restart.
	p.stop()
	p = s.start()
	p.until("the rollback after a restart", func(st status.Status) bool {
		return st.Revision != nil && st.Revision.Version == first && st.Head.Number == 3 && slices.Equal(st.Pinned, want)
	})
	got, err := p.Backend().Get(t.Context(), &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: "MCPServer", Name: "orders"}})
	if err != nil || !got.GetResource().GetPinned() || got.GetResource().GetOwner() != adminv1.Owner_OWNER_DIRECTORY || got.GetRevision() != 3 {
		t.Fatalf("get: %v, %v", got, err)
	}
	s.write(shop{connectTimeout: "3s"}.yaml())
	p.until("the end of the pins", func(st status.Status) bool { return st.Head.Number == 4 && len(st.Pinned) == 0 })
	if _, err := p.Backend().Rollback(t.Context(), &adminv1.RollbackRequest{Revision: 77}, caller); api.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("rollback to nowhere: %v", err)
	}
}

func TestReading(t *testing.T) {
	s := newSite(t)
	s.write(shop{}.yaml())
	p := s.start()
	p.settled("")
	p.applied(&adminv1.ApplyRequest{Documents: mail})
	b := p.Backend()
	list, err := b.List(t.Context(), &adminv1.ListRequest{Kind: config.KindMCPServer})
	if err != nil || list.GetRevision() != 2 || len(list.GetResources()) != 2 || list.GetResources()[0].GetName() != "mail" || list.GetResources()[0].GetOwner() != adminv1.Owner_OWNER_API {
		t.Fatalf("list: %v, %v", list, err)
	}
	old, err := b.List(t.Context(), &adminv1.ListRequest{Revision: 1})
	if err != nil || old.GetRevision() != 1 || len(old.GetResources()) != 2 || old.GetResources()[1].GetFile() != "holdfast.yaml" {
		t.Fatalf("list of revision 1: %v, %v", old, err)
	}
	for _, c := range []struct {
		from, to uint64
		want     string
	}{
		{0, 0, "+++ MCPServer/mail"}, {2, 1, "--- MCPServer/mail"}, {1, 2, "+++ MCPServer/mail"}, {2, 2, ""},
	} {
		got, err := b.Diff(t.Context(), &adminv1.DiffRequest{From: c.from, To: c.to})
		if err != nil || !strings.Contains(got.GetDiff(), c.want) || (c.want == "") != (got.GetDiff() == "") {
			t.Errorf("diff from %d to %d: %v, %v", c.from, c.to, got, err)
		}
	}
	if _, err := b.Diff(t.Context(), &adminv1.DiffRequest{From: 9}); api.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("diff from nowhere: %v", err)
	}
	if _, err := b.Get(t.Context(), &adminv1.GetRequest{Ref: &adminv1.ResourceRef{Kind: "MCPServer", Name: "mail"}, Revision: 1}); !errors.Is(err, revisions.ErrNotFound) {
		t.Errorf("mail in revision 1: %v", err)
	}
	h, err := b.History(t.Context(), &adminv1.HistoryRequest{Before: 2})
	if err != nil || len(h.GetRevisions()) != 1 || h.GetRevisions()[0].GetNumber() != 1 {
		t.Errorf("history before 2: %v, %v", h, err)
	}
}

// TestGetNodeIsWhatTheNodeHas compares with what a peer took.
func TestGetNodeIsWhatTheNodeHas(t *testing.T) {
	s := newSite(t)
	s.write(shop{servers: []string{"stock"}, to: "stock"}.yaml())
	p := s.start()
	p.settled("")
	e := p.envoy("e1", peerOptions{})
	x := p.processor("x1", peerOptions{})
	p.until("both in sync", func(st status.Status) bool {
		return len(st.Nodes) == 2 && !slices.ContainsFunc(st.Nodes, func(n status.Node) bool { return n.Sync != status.Synced || len(n.Types) < 2 })
	})
	waitFor(t, "routes", func() bool { return len(e.stamps()) > 0 && len(x.versions()[names.TypeURLRoutePolicy]) == 1 })
	for _, peer := range []*peer{e, x} {
		got, err := p.Backend().GetNode(t.Context(), &adminv1.GetNodeRequest{Id: peer.id})
		if err != nil {
			t.Fatal(err)
		}
		is, has := map[string]string{}, map[string]string{}
		for _, r := range got.GetResources() {
			is[r.GetType()+" "+r.GetName()] = r.GetVersion()
		}
		for typeURL, versions := range peer.versions() {
			for name, version := range versions {
				has[server.TypeName(typeURL)+" "+name] = version
			}
		}
		if diff := cmp.Diff(has, is); diff != "" {
			t.Errorf("%s (-has +shown):\n%s", peer.id, diff)
		}
		if got.GetNode().GetId() != peer.id || got.GetNode().GetSync() != "synced" {
			t.Errorf("node %v", got.GetNode())
		}
	}
	if _, err := p.Backend().GetNode(t.Context(), &adminv1.GetNodeRequest{Id: "nobody"}); api.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("nobody: %v", err)
	}
}
