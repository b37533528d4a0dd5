package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const (
	tokenIssuer   = "https://issuer.example"
	tokenAudience = "https://gateway.example/mcp"
	// tokenConfig is a Gateway that checks tokens, before the rest of pairConfig.
	tokenConfig = `
kind: Gateway
metadata: {name: test}
spec:
  address: "${gateway}"
  processorTimeout: 8s
  rateLimits: [{requests: 6, per: 1h, by: [principal]}]
  jwt: {issuer: "%s", audiences: ["%s"], keys: {%s}, missing: %s, forward: %s}
---`
)

// signer makes tokens as an issuer does.
type signer struct {
	t   *testing.T
	id  string
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, id, key}
}

// set is the public half, as a JSON Web Key Set.
func (s *signer) set() string {
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		s.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":%q,"x":%q,"y":%q}]}`, s.id, encode(point[1:33]), encode(point[33:]))
}

// token of a subject, with other claims in the place of the usual ones.
func (s *signer) token(subject string, claims map[string]any) string {
	all := map[string]any{"iss": tokenIssuer, "aud": tokenAudience, "sub": subject, "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	text := tokenPart(s.t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": s.id}) + "." + tokenPart(s.t, all)
	sum := sha256.Sum256([]byte(text))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func tokenPart(t *testing.T, value map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// tokenGateway is a bed whose gateway checks tokens, with two recording servers behind it.
type tokenGateway struct {
	*pair
	t      *testing.T
	issuer *signer
}

// call posts a tools/call with a token, and what other headers the test wants.
func (g *tokenGateway) call(path, token string, more ...string) testbed.Answer {
	g.t.Helper()
	header := testbed.ModernHeaders("tools/call", "get_order")
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(more); i += 2 {
		header.Add(more[i], more[i+1])
	}
	answer, err := g.Post(path, header, testbed.CallTool("1", "get_order", "{}"))
	if err != nil {
		g.t.Fatal(err)
	}
	return answer
}

// TestTokens: only tokens that the issuer has signed for this gateway are let in, their subject is who the caller is,
// whatever else the caller says, and neither token nor subject goes to a server.
func TestTokens(t *testing.T) {
	t.Parallel()
	issuer := newSigner(t, "one")
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(issuer.set())) }))
	t.Cleanup(served.Close)
	g := &tokenGateway{t: t, issuer: issuer, pair: &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)}}
	config := func(from, missing, forward string) string {
		_, rest, _ := strings.Cut(strings.NewReplacer("MUMBAI", g.mumbai.address(), "DELHI", g.delhi.address()).Replace(pairConfig), "\n---")
		return fmt.Sprintf(tokenConfig, tokenIssuer, tokenAudience, from, missing, forward) + rest
	}
	g.Bed = testbed.Start(t, testbed.Options{
		Servers: []demo.Place{}, Config: config(fmt.Sprintf("url: %q", served.URL+"/keys"), "refuse", "off"),
		Reachable: func(b *testbed.Bed) error {
			header := testbed.ModernHeaders("tools/list", "")
			header.Set("Authorization", "Bearer "+issuer.token("nobody", nil))
			if answer, err := b.Post("/mcp", header, testbed.ListTools); err != nil || answer.Status != http.StatusOK {
				return fmt.Errorf("status %d, %w", answer.Status, err)
			}
			return nil
		},
	})
	processorsSay(g.Bed, "holdfast_fleet_processors 2")
	t.Run("bad tokens", g.badTokens)
	t.Run("the subject is the caller", g.subjects)
	t.Run("a session is its subject's", g.sessions)

	// The same Gateway with its keys in a file, and callers without a token let in.
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(issuer.set()), 0o600); err != nil {
		t.Fatal(err)
	}
	g.WriteConfig(config(fmt.Sprintf("file: %q", file), "allow", "on"))
	g.Until(testbed.Patience, "callers without a token are let in", func() bool { return g.call("/mcp", "").Status == http.StatusOK })
	t.Run("no token", g.missing)
}

func (g *tokenGateway) badTokens(t *testing.T) {
	g.set(nil, nil)
	good := g.issuer.token("alice", nil)
	head, rest, _ := strings.Cut(good, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	for name, c := range map[string]struct {
		path, token string
		status      int
	}{
		"none":                  {"/mcp", "", 401},
		"signed by another":     {"/mcp", newSigner(t, "one").token("alice", nil), 401},
		"another subject in it": {"/mcp", head + "." + tokenPart(t, map[string]any{"iss": tokenIssuer, "aud": tokenAudience, "sub": "root", "exp": time.Now().Add(time.Hour).Unix()}) + "." + signature, 401},
		"over":                  {"/mcp", g.issuer.token("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), 401},
		"not yet":               {"/mcp", g.issuer.token("alice", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), 401},
		"another issuer":        {"/mcp", g.issuer.token("alice", map[string]any{"iss": "https://other.example"}), 401},
		"another audience":      {"/mcp", g.issuer.token("alice", map[string]any{"aud": "https://other.example"}), 403},
		"no signature":          {"/mcp", tokenPart(t, map[string]any{"alg": "none", "typ": "JWT"}) + "." + claims + ".", 401},
		"signature cut off":     {"/mcp", head + "." + claims + ".", 401},
		"in the query":          {"/mcp?access_token=" + good, "", 401},
	} {
		answer := g.call(c.path, c.token)
		if answer.Status != c.status || !strings.Contains(string(answer.Body), `"unauthorized"`) || !strings.Contains(string(answer.Body), `"id":null`) {
			t.Errorf("%s: %d %s, want %d", name, answer.Status, answer.Body, c.status)
		}
		if c.status == 401 && !strings.HasPrefix(answer.Header.Get("Www-Authenticate"), "Bearer ") {
			t.Errorf("%s: WWW-Authenticate %q", name, answer.Header.Get("Www-Authenticate"))
		}
	}
	if n := len(g.mumbai.requests()) + len(g.delhi.requests()); n != 0 {
		t.Errorf("%d of them reached a server", n)
	}
}

func limited(a testbed.Answer) bool { return strings.Contains(string(a.Body), `"rate_limited"`) }

func (g *tokenGateway) subjects(t *testing.T) {
	g.set(nil, nil)
	admitted := 0
	// Each time another token, and another lie about who it is.
	for i := range 40 {
		answer := g.call("/mcp", g.issuer.token("alice", map[string]any{"jti": fmt.Sprint(i)}), "X-Holdfast-Subject", fmt.Sprintf("liar-%d", i), "X-Forwarded-For", fmt.Sprintf("9.9.9.%d", i))
		if answer.Status != http.StatusOK {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		if !limited(answer) {
			admitted++
		}
	}
	if admitted != 6 {
		t.Errorf("%d calls of one subject admitted, want 6", admitted)
	}
	if limited(g.call("/mcp", g.issuer.token("bob", nil))) {
		t.Error("another subject is limited with it")
	}
	for _, r := range append(g.mumbai.requests(), g.delhi.requests()...) {
		for name := range r.Header {
			if name == "Authorization" || strings.HasPrefix(name, "X-Holdfast-") {
				t.Errorf("a server was sent %s", name)
			}
		}
	}
}

// sessions are bound to the subject, so they outlive a token and are nobody else's.
func (g *tokenGateway) sessions(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Mcp-Session-Id", "s-1")
		jsonAnswer(`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}`)(w, nil)
	}
	g.set(answer, answer)
	post := func(subject, session, body string) testbed.Answer {
		header := http.Header{
			"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
			"Mcp-Protocol-Version": {"2025-11-25"}, "Authorization": {"Bearer " + g.issuer.token(subject, map[string]any{"jti": subject + body})},
		}
		if session != "" {
			header.Set("Mcp-Session-Id", session)
		}
		got, err := g.Post("/mcp", header, body)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	opened := post("dora", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`)
	session := opened.Header.Get("Mcp-Session-Id")
	if session == "" || session == "s-1" {
		t.Fatalf("the session %q of %d %s", session, opened.Status, opened.Body)
	}
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got := post("dora", session, ping); got.Status != http.StatusOK {
		t.Errorf("with a renewed token: %d %s", got.Status, got.Body)
	}
	if got := post("eve", session, ping); got.Status != http.StatusNotFound {
		t.Errorf("with another's token: %d %s, want 404", got.Status, got.Body)
	}
}

func (g *tokenGateway) missing(t *testing.T) {
	for name, c := range map[string]struct {
		token string
		more  []string
	}{
		"another signer": {newSigner(t, "one").token("alice", nil), nil},
		"over":           {g.issuer.token("alice", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), nil},
	} {
		if answer := g.call("/mcp", c.token, c.more...); answer.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d, want 401: a token that is not good is none that is missing", name, answer.Status)
		}
	}
	// Whoever says without a token to be carol, who has not called yet, is not.
	for range 40 {
		g.call("/mcp", "", "X-Holdfast-Subject", "carol")
	}
	g.set(nil, nil)
	if limited(g.call("/mcp", g.issuer.token("carol", nil))) {
		t.Error("a caller without a token used up another's limit")
	}
	seen := append(g.mumbai.requests(), g.delhi.requests()...)
	if len(seen) != 1 || !strings.HasPrefix(seen[0].Header.Get("Authorization"), "Bearer ") || seen[0].Header.Get("X-Holdfast-Subject") != "" {
		t.Errorf("the server was sent %v", seen)
	}
}
