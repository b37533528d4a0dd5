package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// TestCompletion is what a shell asks for when somebody presses the tab key.
func TestCompletion(t *testing.T) {
	p := &plane{resources: shopResources(), revisions: history12(), statuses: []*adminv1.StatusResponse{goodStatus()}, breakers: someBreakers()}
	startPlane(t, p)
	server := []string{"--server", p.url}
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"kinds", append([]string{"get"}, append(server, "")...), []string{"envoy", "gateway", "server", "route"}},
		{"names", append([]string{"get", "servers"}, append(server, "")...), []string{"orders"}},
		{"names of no kind", append([]string{"get", "tools"}, append(server, "")...), nil},
		{"references", append([]string{"get"}, append(server, "server/")...), []string{"server/orders"}},
		{"nodes", append([]string{"get", "envoy"}, append(server, "")...), []string{"envoy-mumbai-1"}},
		{"revisions", append([]string{"rollback"}, append(server, "1")...), []string{"12", "11", "10"}},
		{"one revision only", append([]string{"rollback", "12"}, append(server, "")...), nil},
		{"from", append([]string{"diff"}, append(server, "--from", "")...), []string{"12", "11", "10", "9"}},
		{"base", append([]string{"apply"}, append(server, "--base", "12")...), []string{"12"}},
		{"remove", append([]string{"apply"}, append(server, "--remove", "route")...), []string{"route/shop"}},
		{"servers", append([]string{"status"}, append(server, "")...), []string{"orders"}},
		{"servers to watch", append([]string{"watch"}, append(server, "o")...), []string{"orders"}},
		{"servers with breakers", append([]string{"breaker", "open"}, append(server, "")...), []string{"orders"}},
		{"tools", append([]string{"breaker", "open", "orders"}, append(server, "")...), []string{"get_order", "list_orders", "report"}},
		{"regions", append([]string{"breaker", "auto", "orders", "get_order"}, append(server, "")...), []string{"asia-south1", "asia-south2"}},
		{"formats", []string{"history", "-o", ""}, []string{"table", "json", "yaml"}},
		{"nobody to ask", []string{"rollback", "--server", "127.0.0.1:1", ""}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := execute(t.Context(), "", append([]string{"__complete"}, test.args...)...)
			if words := completions(got.stdout); !slices.Equal(words, test.want) || got.code != 0 {
				t.Errorf("exit %d, it proposes %q, want %q: %s", got.code, words, test.want, got.stdout)
			}
			if strings.ContainsRune(got.stdout, 0x1b) {
				t.Errorf("it steers the terminal: %q", got.stdout)
			}
		})
	}
}

// completions reads cobra's answer: a word and perhaps a tab and a description a line,
// the directive at the end.
func completions(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if word != "" && !strings.HasPrefix(word, ":") {
			out = append(out, word)
		}
	}
	return out
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"completion", shell}, testEnvironment("", &out, &out, nil)); code != 0 || !strings.Contains(out.String(), "holdfast") {
			t.Errorf("%s: exit %d, %d bytes", shell, code, out.Len())
		}
	}
}
