package policy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// secretByte fills the secret of a key, so that a word of it would stand out.
const secretByte = 'S'

func sessionKey(id uint32, from time.Time) *sessionv1.Key {
	return &sessionv1.Key{Id: id, Secret: bytes.Repeat([]byte{secretByte + byte(id)}, session.KeyBytes), NotBefore: timestamppb.New(from)}
}

func keyUpdate(t *testing.T, nonce string, keys ...*sessionv1.Key) *discoveryv3.DeltaDiscoveryResponse {
	t.Helper()
	return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLSessionKeys, Nonce: nonce, Resources: []*discoveryv3.Resource{
		pack(t, names.SessionKeys, nonce, &sessionv1.Keys{Name: names.SessionKeys, Keys: keys}),
	}}
}

func aSession() session.Session {
	s := session.New()
	s.Server, s.Endpoint, s.UpstreamID, s.IssuedAt = "orders", "127.0.0.1:7101", "abc", time.Now()
	return s
}

func seal(t *testing.T, c *Client) string {
	t.Helper()
	id, err := c.Keyring().Seal(aSession(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestKeyRotation: a new key seals once its time has come, without another word from the
// control plane; ids of the old one are good until that is taken away.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		plane, conn, stop := newControlPlane(t)
		defer stop()
		c, end := running(t, Options{Conn: conn})
		defer end()
		s, _, _ := plane.subscribed(t)
		if c.Keyring() != nil {
			t.Fatal("there are keys before any came")
		}
		start := time.Now()
		accept := func(nonce string, keys ...*sessionv1.Key) {
			t.Helper()
			if ack := s.update(keyUpdate(t, nonce, keys...)); ack.GetErrorDetail() != nil {
				t.Fatalf("refused: %v", ack.GetErrorDetail())
			}
		}
		const soon = time.Hour
		accept("1", sessionKey(1, start))
		<-c.Keyed()
		before := seal(t, c)
		accept("2", sessionKey(1, start), sessionKey(2, start.Add(soon)))
		early := seal(t, c)
		time.Sleep(soon)
		late := seal(t, c)
		for name, id := range map[string]string{"before": before, "early": early, "late": late} {
			if _, err := c.Keyring().Open(id); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		accept("3", sessionKey(2, start.Add(soon)))
		for name, want := range map[string]struct {
			id   string
			good bool
		}{"before": {before, false}, "early": {early, false}, "late": {late, true}} {
			if _, err := c.Keyring().Open(want.id); (err == nil) != want.good {
				t.Errorf("%s, with the first key gone: %v", name, err)
			}
		}
	})
}

// TestRefusedKeys: keys that are not usable leave the last ones in force, and no word of
// the refusal tells anything of a secret.
func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	short := sessionKey(2, time.Time{})
	short.Secret = short.GetSecret()[:5]
	unread := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: names.TypeURLSessionKeys, Nonce: "x", Resources: []*discoveryv3.Resource{{
		Name: names.SessionKeys, Version: "x", Resource: &anypb.Any{TypeUrl: names.TypeURLSessionKeys, Value: bytes.Repeat([]byte{secretByte}, 40)},
	}}}
	for name, refused := range map[string]*discoveryv3.DeltaDiscoveryResponse{
		"none":         keyUpdate(t, "x"),
		"three":        keyUpdate(t, "x", sessionKey(1, time.Time{}), sessionKey(2, time.Time{}), sessionKey(3, time.Time{})),
		"one id twice": keyUpdate(t, "x", sessionKey(1, time.Time{}), sessionKey(1, time.Time{})),
		"a short one":  keyUpdate(t, "x", short),
		"taken away":   {TypeUrl: names.TypeURLSessionKeys, Nonce: "x", RemovedResources: []string{names.SessionKeys}},
		"not readable": unread,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				plane, conn, stop := newControlPlane(t)
				defer stop()
				c, end := running(t, Options{Conn: conn})
				defer end()
				s, _, _ := plane.subscribed(t)
				s.update(keyUpdate(t, "1", sessionKey(1, time.Now())))
				<-c.Keyed()
				ring, id := c.Keyring(), seal(t, c)
				nack := s.update(refused)
				if nack.GetErrorDetail() == nil {
					t.Fatal("accepted")
				}
				if said := nack.GetErrorDetail().GetMessage(); strings.Contains(said, strings.Repeat(string(rune(secretByte)), 4)) {
					t.Errorf("the refusal says %q", said)
				}
				if _, err := c.Keyring().Open(id); err != nil || c.Keyring() != ring {
					t.Errorf("the keys before that are gone: %v", err)
				}
			})
		})
	}
}

// TestKeysOutliveTheControlPlane: a processor that starts alone opens the ids that were
// given out before, and nobody else reads its keys. A damaged file is as good as none.
func TestKeysOutliveTheControlPlane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		plane, conn, stop := newControlPlane(t)
		defer stop()
		first, end := running(t, Options{Conn: conn, StateDir: dir})
		s, _, _ := plane.subscribed(t)
		s.update(keyUpdate(t, "1", sessionKey(1, time.Now())))
		<-first.Keyed()
		id := seal(t, first)
		end()
		path := filepath.Join(dir, keysFile)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		again, err := New(Options{Conn: conn, StateDir: dir, Node: Node{ID: "extproc-1"}})
		if err != nil {
			t.Fatal(err)
		}
		<-again.Keyed()
		if _, err := again.Keyring().Open(id); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
		damaged, err := New(Options{Conn: conn, StateDir: dir, Node: Node{ID: "extproc-1"}})
		if err != nil || damaged.Keyring() != nil {
			t.Errorf("with a damaged file: %v, %v", damaged.Keyring(), err)
		}
	})
}
