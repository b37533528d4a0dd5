package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/good", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/degraded", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "waiting\x1b[31m for policies", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	gone := httptest.NewServer(mux)
	gone.Close()
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"degraded", []string{server.URL + "/degraded"}, exitOK, "/degraded is well"},
		{"good", []string{server.URL + "/good"}, exitOK, "/good is well"},
		{"bad", []string{server.URL + "/bad"}, exitFailed, "status 503"},
		{"redirect", []string{server.URL + "/moved"}, exitFailed, "status 302"},
		{"silent", []string{server.URL + "/silent", "--timeout=50ms"}, exitFailed, "deadline exceeded"},
		{"nobody there", []string{gone.URL + "/good"}, exitFailed, "connection refused"},
		{"password", []string{strings.Replace(gone.URL, "http://", "http://me:secret@", 1)}, exitFailed, "me:xxxxx@"},
		{"no URL", nil, exitUsage, "accepts 1 arg"},
		{"no scheme", []string{"127.0.0.1:18001/ready"}, exitUsage, "is not an http or https URL"},
		{"file", []string{"file:///etc/passwd"}, exitUsage, "is not an http or https URL"},
		{"no host", []string{"http:///ready"}, exitUsage, "is not an http or https URL"},
		{"no time", []string{server.URL, "--timeout=0s"}, exitUsage, "--timeout"},
		{"long time", []string{server.URL, "--timeout=2m"}, exitUsage, "--timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := execute(t.Context(), "", append([]string{"health"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, c.want) {
				t.Fatalf("%s\nwant exit %d and %q", got.text(), c.code, c.want)
			}
			if strings.Contains(got.stdout+got.stderr, "secret") || strings.ContainsRune(got.stdout+got.stderr, '\x1b') {
				t.Errorf("it repeats what it must not: %q", got.stdout+got.stderr)
			}
		})
	}
}
