package policy

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// known lists which of the named policies the table has.
func known(c *Client, candidates ...string) []string {
	out := []string{}
	for _, name := range candidates {
		if _, ok := c.Table().Policy(name); ok {
			out = append(out, name)
		}
	}
	return out
}

func TestFirstSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn})
		defer end()
		s, sub, _ := plane.subscribed(t)
		if n := sub.GetNode(); n.GetId() != "extproc-1" || n.GetCluster() != "holdfast-extproc" || n.GetLocality().GetRegion() != "asia-south1" {
			t.Errorf("node %v", n)
		}
		if diff := cmp.Diff([]string{"*"}, sub.GetResourceNamesSubscribe()); diff != "" || len(sub.GetInitialResourceVersions()) != 0 {
			t.Errorf("subscription %v", sub)
		}
		if c.Table() != nil || c.Connected() {
			t.Error("there are policies before any came")
		}
		if ack := s.update(policies("1", pack(t, "a", "v1", validPolicy("a")))); ack.GetErrorDetail() != nil {
			t.Fatalf("refused: %v", ack.GetErrorDetail())
		}
		<-c.Loaded()
		synctest.Wait()
		if got := known(c, "a", "b"); !slices.Equal(got, []string{"a"}) || !c.Connected() {
			t.Errorf("policies %v, connected %v", got, c.Connected())
		}
	})
}

func TestUpdatesAreWholeOrNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn})
		defer end()
		s, _, _ := plane.subscribed(t)
		s.update(policies("1", pack(t, "a", "v1", validPolicy("a"))))
		before := c.Table()

		nack := s.update(policies("2", pack(t, "b", "v1", validPolicy("b")), pack(t, "c", "v1", brokenPolicy("c"))))
		if words := nack.GetErrorDetail().GetMessage(); !strings.Contains(words, `policy "c": safe_method`) {
			t.Errorf("NACK %q", words)
		}
		if c.Table() != before {
			t.Error("a refused update changed the table")
		}
		// The server takes b as delivered and will not send it again.
		if ack := s.update(policies("3", pack(t, "c", "v2", validPolicy("c")))); ack.GetErrorDetail() != nil {
			t.Errorf("refused: %v", ack.GetErrorDetail())
		}
		if got := known(c, "a", "b", "c"); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("policies %v", got)
		}
		if ack := s.update(removal("4", "a", "b")); ack.GetErrorDetail() != nil {
			t.Errorf("refused: %v", ack.GetErrorDetail())
		}
		if ack := s.update(removal("5", "c")); ack.GetErrorDetail() != nil || c.Table().Len() != 0 {
			t.Errorf("removing the last by name: %v, %d policies", ack.GetErrorDetail(), c.Table().Len())
		}
	})
}

func TestRefusedResponses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		resp func(t *testing.T) *discoveryv3.DeltaDiscoveryResponse
		want string
	}{
		{"another type", func(*testing.T) *discoveryv3.DeltaDiscoveryResponse {
			return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: "type.googleapis.com/x", Nonce: "1"}
		}, "was not subscribed to"},
		{"a resource of another type", func(t *testing.T) *discoveryv3.DeltaDiscoveryResponse {
			return policies("1", pack(t, "a", "1", &policyv1.CatalogEntry{}))
		}, "want \"" + names.TypeURLRoutePolicy},
		{"no name", func(t *testing.T) *discoveryv3.DeltaDiscoveryResponse {
			return policies("1", pack(t, "", "1", validPolicy("a")))
		}, "has no name"},
		{"broken bytes", func(*testing.T) *discoveryv3.DeltaDiscoveryResponse {
			return policies("1", &discoveryv3.Resource{Name: "a", Resource: &anypb.Any{TypeUrl: names.TypeURLRoutePolicy, Value: []byte{0xff}}})
		}, `resource "a"`},
		{"very many words", func(t *testing.T) *discoveryv3.DeltaDiscoveryResponse {
			p := brokenPolicy("a")
			p.Path = "\x01" + strings.Repeat("é", maxNackBytes)
			return policies("1", pack(t, "a", "1", p))
		}, "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				plane, conn, stop := newControlPlane(t)
				defer stop()
				_, end := running(t, Options{Conn: conn})
				defer end()
				s, _, _ := plane.subscribed(t)
				words := s.update(tt.resp(t)).GetErrorDetail().GetMessage()
				if !strings.Contains(words, tt.want) || len(words) > maxNackBytes+10 {
					t.Errorf("NACK of %d bytes: %q, want %q", len(words), words, tt.want)
				}
			})
		})
	}
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn})
		defer end()
		s, _, _ := plane.subscribed(t)
		s.update(policies("1", pack(t, "a", "v1", validPolicy("a")), pack(t, "b", "v2", validPolicy("b"))))
		s.update(policies("2", pack(t, "c", "v3", brokenPolicy("c"))))
		s.cut(errors.New("gone"))

		s, sub, _ := plane.subscribed(t)
		want := map[string]string{"a": "v1", "b": "v2"}
		if got := sub.GetInitialResourceVersions(); !maps.Equal(got, want) {
			t.Errorf("versions on reconnect %v, want the accepted ones %v", got, want)
		}
		// A control plane that has not read its configuration yet has nothing.
		nack := s.update(removal("1", "a", "b"))
		if !strings.Contains(nack.GetErrorDetail().GetMessage(), "removes every resource") || c.Table().Len() != 2 {
			t.Errorf("NACK %v, %d policies", nack.GetErrorDetail(), c.Table().Len())
		}
		// Then it has.
		ack := s.update(policies("2", pack(t, "a", "v1", validPolicy("a"))))
		if got := known(c, "a", "b"); ack.GetErrorDetail() != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("%v, policies %v", ack.GetErrorDetail(), got)
		}
	})
}

func TestNothingNewOnReconnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn})
		defer end()
		s, _, _ := plane.subscribed(t)
		s.update(policies("1", pack(t, "a", "v1", validPolicy("a"))))
		before := c.Table()
		s.cut(nil)
		s, _, _ = plane.subscribed(t)
		if ack := s.update(policies("1")); ack.GetErrorDetail() != nil || c.Table() != before {
			t.Errorf("%v; the table changed: %v", ack.GetErrorDetail(), c.Table() != before)
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		_, end := running(t, Options{Conn: conn})
		defer end()
		limit := backoffBase
		for range 10 {
			s, _, _ := plane.subscribed(t)
			at := time.Now()
			s.cut(errors.New("not now"))
			s = <-plane.streams
			if waited := time.Since(at); waited < limit/2 || waited > limit {
				t.Errorf("waited %v, want %v to %v", waited, limit/2, limit)
			}
			limit = min(2*limit, backoffMax)
			plane.streams <- s
		}
		// A stream that worked starts over.
		s, _, _ := plane.subscribed(t)
		s.update(policies("1", pack(t, "a", "v1", validPolicy("a"))))
		at := time.Now()
		s.cut(errors.New("not now"))
		plane.subscribed(t)
		if waited := time.Since(at); waited > backoffBase {
			t.Errorf("waited %v after a stream that worked", waited)
		}
	})
}

func TestCatalogEntriesAreHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		var got []string
		_, end := running(t, Options{Conn: conn, Catalog: func(e *policyv1.CatalogEntry) { got = append(got, e.GetKey()) }})
		defer end()
		s, _, _ := plane.subscribed(t)
		entry := func(nonce, key, version string) *discoveryv3.DeltaDiscoveryResponse {
			return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLCatalog, Nonce: nonce, Resources: []*discoveryv3.Resource{
				pack(t, key, version, &policyv1.CatalogEntry{Key: key}),
			}}
		}
		s.update(entry("1", "a", "v1"))
		s.update(entry("2", "b", "v1"))
		broken := entry("3", "c", "v1")
		broken.Resources[0].Resource.Value = []byte{0xff}
		if ack := s.update(broken); ack.GetErrorDetail() != nil {
			t.Errorf("one unreadable entry refused the update: %v", ack.GetErrorDetail())
		}
		s.update(entry("4", "a", "v2"))
		if diff := cmp.Diff([]string{"a", "b", "a"}, got); diff != "" {
			t.Errorf("entries: (-want +got)\n%s", diff)
		}
	})
}

func TestNewNeedsConnectionAndID(t *testing.T) {
	t.Parallel()
	if _, err := New(Options{}); err == nil {
		t.Error("New accepts options without a connection")
	}
}
