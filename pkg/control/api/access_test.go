package api

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

const (
	readToken  = "reader-token"
	writeToken = "writer-token"
)

func tokensFile(t *testing.T, dir string) string {
	t.Helper()
	return writeFile(t, dir, "tokens", []byte("# who may do what\n\nread  reader "+hashed(readToken)+"\nwrite writer "+hashed(writeToken)+"\n"))
}

// ask calls a method by HTTPS and says how it ended: the code, or "refused" where there is no connection.
func (w *world) ask(t *testing.T, config *tls.Config, token, method, body string) string {
	t.Helper()
	scheme := "http://"
	if config != nil {
		scheme = "https://"
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scheme+w.address+"/holdfast.admin.v1.Admin/"+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	resp, err := httpClient(t, config, config != nil).Do(r)
	if err != nil {
		return "refused"
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return "ok"
	case http.StatusUnauthorized:
		return "unauthenticated"
	case http.StatusForbidden:
		return "permission_denied"
	default:
		return resp.Status
	}
}

const (
	someStatus = `{}`
	someApply  = `{"documents": "kind: x", "author": "somebody else"}`
)

// TestAccess has every way in against every way to be there.
func TestAccess(t *testing.T) {
	dir, ca, other := t.TempDir(), newAuthority(t), newAuthority(t)
	cert, key := ca.server(t, dir)
	clientCA, tokens := writeFile(t, dir, "ca.pem", ca.pem), tokensFile(t, dir)
	expired := ca.pair(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "old", OrganizationalUnit: []string{WriteUnit}}
		c.NotAfter = time.Now().Add(-time.Minute)
	})
	forServers := ca.pair(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "server", OrganizationalUnit: []string{WriteUnit}}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	spiffe := ca.pair(t, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "ignored", OrganizationalUnit: []string{"x", ReadUnit, WriteUnit}}
		c.URIs = []*url.URL{mustURL(t, "spiffe://example.org/deploy")}
	})
	both := ListenOptions{CertFile: cert, KeyFile: key, ClientCAFile: clientCA, TokensFile: tokens}
	mutual := ListenOptions{CertFile: cert, KeyFile: key, ClientCAFile: clientCA}
	byToken := ListenOptions{CertFile: cert, KeyFile: key, TokensFile: tokens}
	plain := ListenOptions{TokensFile: tokens}
	for _, c := range []struct {
		name         string
		opts         ListenOptions
		certs        []tls.Certificate
		token        string
		status, make string
		author       string
	}{
		{"local", ListenOptions{}, nil, "", "ok", "ok", "somebody else"},
		{"local with a token that nobody asked for", ListenOptions{}, nil, "Bearer x", "ok", "ok", "somebody else"},
		{"token: none", byToken, nil, "", "unauthenticated", "unauthenticated", ""},
		{"token: unknown", byToken, nil, "Bearer nonsense", "unauthenticated", "unauthenticated", ""},
		{"token: empty", byToken, nil, "Bearer ", "unauthenticated", "unauthenticated", ""},
		{"token: too long", byToken, nil, "Bearer " + strings.Repeat("x", 4000), "unauthenticated", "unauthenticated", ""},
		{"token: the hash in place of it", byToken, nil, "Bearer " + hashed(writeToken), "unauthenticated", "unauthenticated", ""},
		{"token: other scheme", byToken, nil, "Basic " + writeToken, "unauthenticated", "unauthenticated", ""},
		{"token: reader", byToken, nil, "Bearer " + readToken, "ok", "permission_denied", ""},
		{"token: writer", byToken, nil, "bearer " + writeToken, "ok", "ok", "writer"},
		{"token: in the clear, local", plain, nil, "Bearer " + writeToken, "ok", "ok", "writer"},
		{"token: none, local", plain, nil, "", "unauthenticated", "unauthenticated", ""},
		{"token: a certificate will not do", byToken, []tls.Certificate{ca.client(t, "asha", WriteUnit)}, "", "unauthenticated", "unauthenticated", ""},
		{"certificate: none", mutual, nil, "", "refused", "refused", ""},
		{"certificate: a token will not do", mutual, nil, "Bearer " + writeToken, "refused", "refused", ""},
		{"certificate: reader", mutual, []tls.Certificate{ca.client(t, "asha", ReadUnit)}, "", "ok", "permission_denied", ""},
		{"certificate: writer", mutual, []tls.Certificate{ca.client(t, "asha", WriteUnit)}, "", "ok", "ok", "asha"},
		{"certificate: a URI names it", mutual, []tls.Certificate{spiffe}, "", "ok", "ok", "spiffe://example.org/deploy"},
		{"certificate: no role", mutual, []tls.Certificate{ca.client(t, "asha", "holdfast")}, "", "permission_denied", "permission_denied", ""},
		{"certificate: no name", mutual, []tls.Certificate{ca.client(t, "", WriteUnit)}, "", "unauthenticated", "unauthenticated", ""},
		{"certificate: the directory's name", mutual, []tls.Certificate{ca.client(t, "directory", WriteUnit)}, "", "unauthenticated", "unauthenticated", ""},
		{"certificate: a name of two lines", mutual, []tls.Certificate{ca.client(t, "a\nb", WriteUnit)}, "", "unauthenticated", "unauthenticated", ""},
		{"certificate: expired", mutual, []tls.Certificate{expired}, "", "refused", "refused", ""},
		{"certificate: other CA", mutual, []tls.Certificate{other.client(t, "asha", WriteUnit)}, "", "refused", "refused", ""},
		{"certificate: for servers", mutual, []tls.Certificate{forServers}, "", "refused", "refused", ""},
		{"both: nothing", both, nil, "", "unauthenticated", "unauthenticated", ""},
		{"both: certificate", both, []tls.Certificate{ca.client(t, "asha", WriteUnit)}, "", "ok", "ok", "asha"},
		{"both: token", both, nil, "Bearer " + writeToken, "ok", "ok", "writer"},
		{"both: the token counts", both, []tls.Certificate{ca.client(t, "asha", WriteUnit)}, "Bearer " + readToken, "ok", "permission_denied", ""},
		{"both: a wrong token is not made up for", both, []tls.Certificate{ca.client(t, "asha", WriteUnit)}, "Bearer x", "unauthenticated", "unauthenticated", ""},
		{"both: other CA", both, []tls.Certificate{other.client(t, "asha", WriteUnit)}, "Bearer " + writeToken, "refused", "refused", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			backend := &fake{}
			w := serve(t, backend, c.opts)
			var config *tls.Config
			if c.opts.CertFile != "" {
				config = ca.trust(c.certs...)
				// Offers its certificate whatever authorities the server names.
				if len(c.certs) > 0 {
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.certs[0], nil }
				}
			}
			if got := w.ask(t, config, c.token, "Status", someStatus); got != c.status {
				t.Errorf("Status: %s, want %s", got, c.status)
			}
			if got := w.ask(t, config, c.token, "Apply", someApply); got != c.make {
				t.Errorf("Apply: %s, want %s", got, c.make)
			}
			if got := w.ask(t, config, c.token, "Rollback", `{"revision": 1}`); got != c.make {
				t.Errorf("Rollback: %s, want %s", got, c.make)
			}
			switch {
			case c.make != "ok" && backend.count() > 0:
				t.Error("something was written")
			case c.make == "ok" && backend.revisions[0].GetAuthor() != c.author:
				t.Errorf("author %q, want %q", backend.revisions[0].GetAuthor(), c.author)
			}
			for _, secret := range []string{readToken, writeToken, hashed(writeToken), "nonsense"} {
				if strings.Contains(w.log.String(), secret) {
					t.Errorf("the log has %s:\n%s", secret, w.log)
				}
			}
		})
	}
}

// TestEveryMethodHasARole: a new method is not served before somebody has said who may call it.
func TestEveryMethodHasARole(t *testing.T) {
	methods := adminv1.File_api_admin_v1_admin_proto.Services().ByName("Admin").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		what, ok := kindOf("/holdfast.admin.v1.Admin/" + string(m.Name()))
		changes := m.Name() == "Apply" || m.Name() == "Rollback" || m.Name() == "SetBreaker" || m.Name() == "SetDrain" || m.Name() == "PurgeCache" || m.Name() == "Succeed" ||
			m.Name() == "Failback" || m.Name() == "Promote"
		if !ok || (what == watching) != m.IsStreamingServer() || (what.role() == Write) != changes {
			t.Errorf("%s: %v %v", m.Name(), what, ok)
		}
	}
	if _, ok := kindOf("/holdfast.admin.v1.Admin/"); ok {
		t.Error("a method without a name")
	}
}

func TestBrowsersAreKeptOut(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	for _, c := range []struct {
		name, contentType string
		headers           []string
		status            int
	}{
		{"another host", "application/json", []string{"Host", "evil.example"}, 403},
		{"a host like ours", "application/json", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"localhost", "application/json", []string{"Host", "localhost:18001"}, 200},
		{"IPv6", "application/json", []string{"Host", "[::1]:18001"}, 200},
		{"page of another origin", "application/json", []string{"Origin", "http://evil.example"}, 403},
		{"page of this origin", "application/json", []string{"Origin", "http://" + w.address}, 403},
		{"page without an origin", "application/json", []string{"Origin", "null"}, 403},
		{"page that hides its origin", "application/json", []string{"Origin", ""}, 403},
		{"fetch metadata", "application/json", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"typed address", "application/json", []string{"Sec-Fetch-Site", "none"}, 200},
		{"form", "application/x-www-form-urlencoded", nil, 415},
		{"form with files", "multipart/form-data; boundary=x", nil, 415},
		{"text", "text/plain", nil, 415},
		{"nothing", "", nil, 415},
		{"almost JSON", "application/jsonp", nil, 415},
	} {
		got := w.post(t, "Apply", c.contentType, `{"documents": "x"}`, c.headers...)
		if got.status != c.status {
			t.Errorf("%s: %d %s, want %d", c.name, got.status, got.body, c.status)
		}
	}
	if n := w.backend.count(); n != 3 {
		t.Errorf("%d revisions", n)
	}
	client, url := httpClient(t, nil, false), "http://"+w.address+"/holdfast.admin.v1.Admin/"
	for _, verb := range []string{http.MethodGet, http.MethodOptions, http.MethodPut, http.MethodDelete} {
		got := send(t, client, verb, url+"Status?connect=v1&encoding=json&message={}", "", "", "Access-Control-Request-Method", "POST")
		if got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d %s", verb, got.status, got.body)
		}
		for name := range got.header {
			if strings.HasPrefix(name, "Access-Control") {
				t.Errorf("%s: %s", verb, name)
			}
		}
	}
}

// TestRefusalsInTheLogAreBounded: who is refused cannot fill the disk.
func TestRefusalsInTheLogAreBounded(t *testing.T) {
	now := time.Now()
	w := serve(t, &fake{}, ListenOptions{}, func(s *Service) { s.now = func() time.Time { return now } })
	for range 3 * refusalsLoggedBurst {
		w.post(t, "Status", "application/json", `{}`, "Origin", "null")
	}
	if n := strings.Count(w.log.String(), "refused"); n == 0 || strings.Count(w.log.String(), "caller refused") != refusalsLoggedBurst {
		t.Errorf("the log:\n%s", w.log)
	}
	now = now.Add(time.Second)
	w.post(t, "Status", "application/json", `{}`, "Origin", "null")
	if !strings.Contains(w.log.String(), "refused_without_a_line=40") {
		t.Errorf("the log does not count:\n%s", w.log)
	}
}

// clock is moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestTokensAreReadAnew(t *testing.T) {
	dir, hour := t.TempDir(), &clock{now: time.Now()}
	file := tokensFile(t, dir)
	w := serve(t, &fake{}, ListenOptions{TokensFile: file, Now: hour.Now})
	expect := func(when, token, want string) {
		t.Helper()
		if got := w.ask(t, nil, "Bearer "+token, "Apply", someApply); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	expect("before", writeToken, "ok")
	writeFile(t, dir, "tokens", []byte("write newcomer "+hashed("new-token")))
	expect("within a second", writeToken, "ok")
	hour.pass(reloadInterval)
	expect("afterwards", writeToken, "unauthenticated")
	expect("afterwards", "new-token", "ok")

	writeFile(t, dir, "tokens", []byte("write newcomer new-token\n"))
	hour.pass(reloadInterval)
	expect("broken", "new-token", "503 Service Unavailable")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	hour.pass(reloadInterval)
	expect("gone", "new-token", "503 Service Unavailable")
	tokensFile(t, dir)
	hour.pass(reloadInterval)
	expect("back", writeToken, "ok")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	hour.pass(reloadInterval)
	expect("open to others", writeToken, "503 Service Unavailable")
	if log := w.log.String(); !strings.Contains(log, "line 1") || !strings.Contains(log, "mode 0640") || strings.Contains(log, "new-token") {
		t.Errorf("the log:\n%s", log)
	}
}

func TestCertificatesAreReadAnew(t *testing.T) {
	dir, hour, ca, next := t.TempDir(), &clock{now: time.Now()}, newAuthority(t), newAuthority(t)
	cert, key := ca.server(t, dir)
	w := serve(t, &fake{}, ListenOptions{CertFile: cert, KeyFile: key, ClientCAFile: writeFile(t, dir, "ca.pem", ca.pem), Now: hour.Now})
	old := ca.trust(ca.client(t, "asha", WriteUnit))
	if got := w.ask(t, old, "", "Status", someStatus); got != "ok" {
		t.Fatal(got)
	}
	writeFile(t, dir, "server.pem", []byte("half a file"))
	hour.pass(reloadInterval)
	if got := w.ask(t, old, "", "Status", someStatus); got != "ok" {
		t.Fatalf("in the middle of a renewal: %s", got)
	}
	next.server(t, dir)
	writeFile(t, dir, "ca.pem", next.pem)
	hour.pass(reloadInterval)
	if got := w.ask(t, old, "", "Status", someStatus); got != "refused" {
		t.Fatalf("with the old certificates: %s", got)
	}
	if got := w.ask(t, next.trust(next.client(t, "ravi", WriteUnit)), "", "Status", someStatus); got != "ok" {
		t.Fatalf("with the new certificates: %s", got)
	}
}

// TestCertificateExpiresOnAnOpenConnection: it is not enough to be in.
func TestCertificateExpiresOnAnOpenConnection(t *testing.T) {
	dir, hour, ca := t.TempDir(), &clock{now: time.Now()}, newAuthority(t)
	cert, key := ca.server(t, dir)
	w := serve(t, &fake{}, ListenOptions{CertFile: cert, KeyFile: key, ClientCAFile: writeFile(t, dir, "ca.pem", ca.pem), Now: hour.Now})
	client := httpClient(t, ca.trust(ca.client(t, "asha", WriteUnit)), true)
	url := "https://" + w.address + "/holdfast.admin.v1.Admin/Status"
	if got := send(t, client, http.MethodPost, url, "application/json", "{}"); got.status != http.StatusOK {
		t.Fatal(got.body)
	}
	hour.pass(2 * time.Hour)
	if got := send(t, client, http.MethodPost, url, "application/json", "{}"); got.Code != "unauthenticated" || !strings.Contains(got.Message, "expired") {
		t.Fatalf("%d %s", got.status, got.body)
	}
}
