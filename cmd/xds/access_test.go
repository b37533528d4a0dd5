package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/health"
)

// TestCredentialsCloseTheLocalWay: where the admin API asks for credentials, the
// loopback listener does not take changes without them.
func TestCredentialsCloseTheLocalWay(t *testing.T) {
	for name, with := range map[string]bool{"without credentials": false, "with tokens": true} {
		t.Run(name, func(t *testing.T) {
			dir, adminAddress := t.TempDir(), freeAddress(t)
			args := []string{
				"--config", dir, "--state", t.TempDir(), "--listen", freeAddress(t), "--admin", adminAddress, "--processors", "unix:///run/a.sock",
			}
			if with {
				tokens := filepath.Join(dir, "tokens")
				if err := os.WriteFile(tokens, []byte("write ops sha256:"+strings.Repeat("0", 64)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				sockets, err := os.MkdirTemp("", "hfx") // a unix socket's path is short
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.RemoveAll(sockets) })
				args = append(args, "--api", "unix://"+filepath.Join(sockets, "api"), "--api-tokens", tokens)
			}
			ctx, cancel := context.WithCancel(t.Context())
			code := make(chan int, 1)
			go func() { code <- run(ctx, args) }()
			defer func() {
				cancel()
				if got := <-code; got != exitOK {
					t.Errorf("exit code %d", got)
				}
			}()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			ask := func(verb, path string) int {
				req, err := http.NewRequestWithContext(t.Context(), verb, fmt.Sprintf("http://%s%s", adminAddress, path), strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				resp, err := client.Do(req)
				if err != nil {
					return 0
				}
				_ = resp.Body.Close()
				return resp.StatusCode
			}
			waitFor(t, "health", func() bool { return health.Usable(ask(http.MethodGet, "/health")) })
			got := ask(http.MethodPost, "/holdfast.admin.v1.Admin/History")
			if closed := got == http.StatusNotFound; closed != with {
				t.Errorf("the API on the loopback listener answers %d", got)
			}
		})
	}
}
