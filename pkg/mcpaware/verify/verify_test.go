package verify_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sloppy is a server that compares the headers named, and answers everything else.
func sloppy(compares ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		for _, name := range compares {
			if !strings.Contains(string(body), `"`+r.Header.Get(name)+`"`) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprint(w, `{"jsonrpc":"2.0","id":"holdfast-verification","error":{"code":-32020,"message":"no"}}`)
				return
			}
		}
		_, _ = fmt.Fprint(w, `{"jsonrpc":"2.0","id":"holdfast-verification","error":{"code":-32602,"message":"unknown tool"}}`)
	})
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func serverAt(addresses ...string) *policyv1.Server {
	s := &policyv1.Server{Name: "orders", VerifiedPath: "/mcp"}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, &policyv1.Endpoint{Name: a, Address: a})
	}
	return s
}

func checker(s *policyv1.Server) *verify.Checker {
	return verify.New(verify.Options{Servers: func() []*policyv1.Server { return []*policyv1.Server{s} }})
}

// TestOnlyServersThatCompareBothPass, the Go SDK's own among them.
func TestOnlyServersThatCompareBothPass(t *testing.T) {
	sdk := mcp.NewServer(&mcp.Implementation{Name: "sdk", Version: "1"}, nil)
	real := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return sdk }, &mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	for name, c := range map[string]struct {
		handlers []http.Handler
		want     bool
	}{
		"both":                       {[]http.Handler{sloppy("Mcp-Method", "Mcp-Name")}, true},
		"the Go SDK":                 {[]http.Handler{real}, true},
		"name only":                  {[]http.Handler{sloppy("Mcp-Name")}, false},
		"method only":                {[]http.Handler{sloppy("Mcp-Method")}, false},
		"neither":                    {[]http.Handler{sloppy()}, false},
		"one of two endpoints":       {[]http.Handler{sloppy("Mcp-Method", "Mcp-Name"), sloppy()}, false},
		"one that is not authorized": {[]http.Handler{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var addresses []string
			for _, h := range c.handlers {
				addresses = append(addresses, serve(t, h))
			}
			s := serverAt(addresses...)
			v := checker(s)
			if v.Verified(s) {
				t.Error("verified before it was asked")
			}
			if !v.Round(t.Context()) {
				t.Error("not all were asked")
			}
			if got := v.Verified(s); got != c.want {
				t.Errorf("verified: %v, want %v", got, c.want)
			}
		})
	}
}

// TestVerdictsFollowTheServer: one that is replaced by a server which does not compare is read
// again; one that is away keeps its last word; one that was never there has none.
func TestVerdictsFollowTheServer(t *testing.T) {
	var handler atomic.Pointer[http.Handler]
	set := func(h http.Handler) { handler.Store(&h) }
	set(sloppy("Mcp-Method", "Mcp-Name"))
	s := serverAt(serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*handler.Load()).ServeHTTP(w, r) })))
	v := checker(s)
	v.Round(t.Context())
	away, cancel := context.WithCancel(t.Context())
	cancel()
	if v.Round(away) || !v.Verified(s) {
		t.Error("an endpoint that cannot be asked has lost its word")
	}
	set(sloppy())
	if !v.Round(t.Context()) || v.Verified(s) {
		t.Error("a server that does not compare any more is still believed")
	}
	s.Endpoints = append(s.Endpoints, &policyv1.Endpoint{Name: "new", Address: "127.0.0.1:1"})
	set(sloppy("Mcp-Method", "Mcp-Name"))
	if v.Round(t.Context()) || v.Verified(s) {
		t.Error("an endpoint that never answered is believed")
	}
}

// TestNobodySaysSo: without the operator's word nothing is asked.
func TestNobodySaysSo(t *testing.T) {
	s := serverAt(serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("asked") })))
	s.VerifiedPath = ""
	v := checker(s)
	if v.Round(t.Context()); v.Verified(s) {
		t.Error("verified")
	}
}
