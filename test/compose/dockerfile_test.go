package compose

import (
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// instruction of a Dockerfile, its lines joined.
type instruction struct{ name, rest string }

// stages splits a Dockerfile at its FROM instructions.
func stages(text string) [][]instruction {
	var out [][]instruction
	var joined strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		joined.WriteString(part)
		if more {
			continue
		}
		name, rest, _ := strings.Cut(joined.String(), " ")
		joined.Reset()
		if name == "FROM" {
			out = append(out, nil)
		}
		if len(out) > 0 {
			out[len(out)-1] = append(out[len(out)-1], instruction{name, strings.TrimSpace(rest)})
		}
	}
	return out
}

// without removes the --flags at the head of an instruction.
func without(rest string) string {
	for strings.HasPrefix(rest, "--") {
		_, rest, _ = strings.Cut(rest, " ")
		rest = strings.TrimSpace(rest)
	}
	return rest
}

// ignored says what a .dockerignore keeps out: the last pattern that matches the
// path or a folder above it decides.
func ignored(patterns, file string) bool {
	out := false
	for line := range strings.Lines(patterns) {
		pattern := strings.TrimSpace(line)
		if pattern == "" || strings.HasPrefix(pattern, "#") {
			continue
		}
		pattern, again := strings.CutPrefix(pattern, "!")
		for at := file; at != "."; at = path.Dir(at) {
			name := at
			rest, anywhere := strings.CutPrefix(pattern, "**/")
			if anywhere {
				name = path.Base(at)
			}
			if ok, err := path.Match(rest, name); err == nil && ok {
				out = !again
				break
			}
		}
	}
	return out
}

// copyContext copies a file or folder of the build context, as COPY would see it.
func copyContext(root, patterns, source, target string) error {
	return filepath.WalkDir(filepath.Join(root, source), func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if entry.IsDir() || ignored(patterns, filepath.ToSlash(relative)) {
			return nil
		}
		inside, err := filepath.Rel(filepath.Join(root, source), file)
		if err != nil {
			return err
		}
		to := filepath.Join(target, inside)
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o600)
	})
}

// buildImage runs the build stage of the Dockerfile in dir: COPY, ENV, ARG, and the
// RUN that builds; downloads are left to the module cache of this machine. It
// returns the folder that becomes /usr/local/bin of the image.
func buildImage(root, dir, release string) (string, error) {
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return "", err
	}
	patterns, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return "", err
	}
	arguments := map[string]string{"TARGETOS": runtime.GOOS, "TARGETARCH": runtime.GOARCH, "VERSION": release}
	source, out := filepath.Join(dir, "src"), filepath.Join(dir, "out")
	var script strings.Builder
	script.WriteString("set -e\n")
	for _, one := range stages(string(dockerfile))[0] {
		switch one.name {
		case "ENV":
			fmt.Fprintf(&script, "export %s\n", one.rest)
		case "ARG":
			name, _, _ := strings.Cut(one.rest, "=")
			fmt.Fprintf(&script, "export %s='%s'\n", name, arguments[name])
		case "COPY":
			words := strings.Fields(one.rest)
			for _, word := range words[:len(words)-1] {
				target := filepath.Join(source, words[len(words)-1])
				if strings.HasSuffix(words[len(words)-1], "/") {
					target = filepath.Join(target, word)
				}
				if err := copyContext(root, string(patterns), word, target); err != nil {
					return "", err
				}
			}
		case "RUN":
			if strings.Contains(one.rest, "go build") {
				script.WriteString(strings.ReplaceAll(without(one.rest), "/out/", out+"/") + "\n")
			}
		}
	}
	cmd := exec.Command("sh", "-c", script.String())
	cmd.Dir = source
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the Dockerfile's build: %w\n%s", err, said)
	}
	return filepath.Join(out, "bin"), nil
}

func TestDockerfile(t *testing.T) {
	all := stages(read(t, stacktest.Root(t), "Dockerfile"))
	if len(all) != 2 {
		t.Fatalf("%d stages", len(all))
	}
	for _, stage := range all {
		from := strings.Fields(without(stage[0].rest))[0]
		if !pinned.MatchString(from) {
			t.Errorf("FROM %s is not pinned to one version", from)
		}
		for _, one := range stage {
			if one.name == "ADD" || regexp.MustCompile(`(?i)passw|secret|token|credential`).MatchString(one.rest) {
				t.Errorf("%s %s", one.name, one.rest)
			}
		}
	}
	last := all[1]
	if !strings.Contains(last[0].rest, "distroless/static") {
		t.Errorf("the programs are static, and the image is made from %s", last[0].rest)
	}
	user := ""
	for _, one := range last {
		switch one.name {
		case "USER":
			user = one.rest
		case "RUN":
			t.Errorf("there is no shell for RUN %s", one.rest)
		}
	}
	for name, service := range load(t).AllServices() {
		if service.Build != nil && service.User != user {
			t.Errorf("%s runs as %q, and its image belongs to %q", name, service.User, user)
		}
	}
}

// TestToolchain: the image's Go is new enough for go.mod, and may not fetch another.
func TestToolchain(t *testing.T) {
	root := stacktest.Root(t)
	image := regexp.MustCompile(`golang:(\d+\.\d+\.\d+)-`).FindStringSubmatch(read(t, root, "Dockerfile"))
	module := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(read(t, root, "go.mod"))
	if image == nil || module == nil {
		t.Fatalf("Go of the Dockerfile %q, of go.mod %q", image, module)
	}
	if version.Compare("go"+image[1], "go"+module[1]) < 0 {
		t.Errorf("the Dockerfile builds with Go %s, and go.mod asks for %s", image[1], module[1])
	}
}

func TestIgnored(t *testing.T) {
	patterns := read(t, stacktest.Root(t), ".dockerignore")
	for file, want := range map[string]bool{
		"go.mod": false, "LICENSE": false, "cmd/xds/main.go": false, "pkg/config/types.go": false, "envoy/bootstrap.yaml": false,
		"cmd/xds/main_test.go": true, "pkg/config/testdata/a/b.yaml": true, ".git/config": true, "bin/xds": true,
		"deploy/compose/.env": true, "docs/tutorial.md": true, "test/e2e/facts_test.go": true, "go.work": true,
	} {
		if got := ignored(patterns, file); got != want {
			t.Errorf("%s: ignored %v, want %v", file, got, want)
		}
	}
}
