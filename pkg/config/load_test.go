package config_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

const (
	serverYAML = `kind: MCPServer
metadata: {name: orders}
spec: {regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}]}]}
`
	routeYAML = `kind: MCPRoute
metadata: {name: shopmax}
spec: {servers: [{name: orders}]}
`
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadReadsOnlyConfigurationFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "server.yaml", serverYAML)
	write(t, dir, "route.yml", routeYAML)
	for _, other := range []string{".route.yaml", ".#route.yaml", "#route.yaml", "route.yaml~", "~route.yaml", "route.yaml.swp", "README.md", "route.json"} {
		write(t, dir, other, "not: [configuration")
	}
	if err := os.MkdirAll(filepath.Join(dir, "more.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "more.yaml"), "deep.yaml", "not: [configuration")
	c, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Servers) != 1 || len(c.Routes) != 1 {
		t.Errorf("got %d servers and %d routes, want 1 and 1", len(c.Servers), len(c.Routes))
	}
	if pos := c.Routes[0].Source; pos != (config.Position{File: "route.yml", Line: 1, Column: 1}) {
		t.Errorf("the route is at %v", pos)
	}
}

// A mounted ConfigMap is a directory of links to links, swapped as a whole.
func TestLoadFollowsMountedLinks(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "..2026_11_21")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, data, "all.yaml", serverYAML+"---\n"+routeYAML)
	for link, target := range map[string]string{"..data": "..2026_11_21", "all.yaml": "..data/all.yaml"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := config.Load(dir); err != nil {
		t.Error(err)
	}
}

func TestLoadEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"", "\n", "# nothing yet\n", "---\n---\n# still nothing\n"} {
		if content != "" {
			write(t, dir, "a.yaml", content)
		}
		c, err := config.Load(dir)
		if !errors.Is(err, config.ErrEmpty) || c != nil {
			t.Errorf("%q: got %v, %v, want ErrEmpty", content, c, err)
		}
		if err != nil && !strings.Contains(err.Error(), dir) {
			t.Errorf("%q does not say which directory", err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, dir string)
		want string
	}{
		{"a directory that is not there", func(t *testing.T, dir string) {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"a pipe, without waiting for its writer", func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "a.yaml"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "a.yaml is not a regular file"},
		{"a link to nothing", func(t *testing.T, dir string) {
			if err := os.Symlink("gone", filepath.Join(dir, "a.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "no such file"},
		{"a file that is too large", func(t *testing.T, dir string) {
			write(t, dir, "a.yaml", strings.Repeat("#\n", config.MaxFileBytes))
		}, "a.yaml: is larger than 1MiB"},
		{"too many files", func(t *testing.T, dir string) {
			for i := range config.MaxFiles + 1 {
				write(t, dir, fmt.Sprintf("%d.yaml", i), "")
			}
		}, "1001 files are more than the allowed 1000"},
		{"files that are too large together", func(t *testing.T, dir string) {
			for i := range 17 {
				write(t, dir, fmt.Sprintf("%02d.yaml", i), strings.Repeat("#", config.MaxFileBytes))
			}
		}, "16.yaml: all files together are larger than 16MiB"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "config")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			test.make(t, dir)
			c, err := config.Load(dir)
			if err == nil || !strings.Contains(err.Error(), test.want) || c != nil {
				t.Errorf("got %v, %v, want an error with %q", c, err, test.want)
			}
		})
	}
}

// Every directory of examples is whole by itself.
func TestExamples(t *testing.T) {
	examples, err := os.ReadDir("../../examples")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, example := range examples {
		if !example.IsDir() {
			continue
		}
		if _, err := config.Load(filepath.Join("../../examples", example.Name())); err != nil {
			t.Errorf("%s: %v", example.Name(), err)
		}
	}
}

func TestProblemsSpanFiles(t *testing.T) {
	_, err := config.Parse([]config.File{
		{Name: "b.yaml", Data: []byte(serverYAML)},
		{Name: "a.yaml", Data: []byte(serverYAML)},
		{Name: "odd\nname.yaml", Data: []byte("kind: [\n")},
		{Name: "latin1.yaml", Data: []byte("kind: MCPServer\n# caf\xe9\n")},
	})
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, line := range []string{
		`a.yaml:2:18: metadata.name: there is an MCPServer "orders" already, in b.yaml:2:18`,
		`"odd\nname.yaml":2: not YAML`,
		"latin1.yaml:2:6: is not UTF-8 text",
	} {
		if got := problems[i].String(); !strings.HasPrefix(got, line) {
			t.Errorf("problem %d is %q, want %q", i, got, line)
		}
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(problems) {
		t.Errorf("%d problems on %d lines", len(problems), lines)
	}
}

func TestParseIsBounded(t *testing.T) {
	files := make([]config.File, config.MaxFiles+1)
	if _, err := config.Parse(files); err == nil {
		t.Error("too many files were parsed")
	}
	large := config.File{Name: "large.yaml", Data: bytes.Repeat([]byte("#"), config.MaxFileBytes+1)}
	if _, err := config.Parse([]config.File{large}); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a file that is too large: %v", err)
	}
}
