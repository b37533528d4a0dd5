package parts

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func jaegerModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestJaegerIsBuiltOnce(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	goProgram := script(t, "go", `echo one >> "`+count+`"
while [ "$1" != "-o" ]; do shift; done
printf '#!/bin/sh\n' > "$2"; chmod +x "$2"`)
	f := Finder{CacheDir: t.TempDir(), lookPath: path(map[string]string{"go": goProgram})}
	module := jaegerModule(t)
	for _, want := range []Source{SourceBuilt, SourceCache} {
		found, err := f.Jaeger(t.Context(), "", module)
		if err != nil || found.Source != want || !strings.Contains(found.Path, JaegerVersion) {
			t.Errorf("found %+v, %v; want %s", found, err, want)
		}
	}
	if runs, err := os.ReadFile(count); err != nil || string(runs) != "one\n" {
		t.Errorf("go ran %q times, %v", runs, err)
	}
}

func TestJaegerThatIsMissing(t *testing.T) {
	broken := script(t, "go", "echo no such module >&2; exit 1")
	for name, test := range map[string]struct {
		configured, module string
		programs           map[string]string
		want               string
	}{
		"configured, not there": {configured: "/nowhere/jaeger", want: "/nowhere/jaeger"},
		"no module":             {module: t.TempDir(), programs: map[string]string{"go": broken}, want: "tools/jaeger"},
		"no go":                 {module: jaegerModule(t), want: "go command is missing"},
		"build fails":           {module: jaegerModule(t), programs: map[string]string{"go": broken}, want: "no such module"},
	} {
		f := Finder{CacheDir: t.TempDir(), lookPath: path(test.programs)}
		found, err := f.Jaeger(t.Context(), test.configured, test.module)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: found %+v, %v; want an error with %q", name, found, err, test.want)
		}
		if test.configured == "" && err != nil && !strings.Contains(err.Error(), "HOLDFAST_JAEGER_BIN") {
			t.Errorf("%s: %v does not say what else can be done", name, err)
		}
	}
}

func TestJaegerModulePinsTheVersion(t *testing.T) {
	pinned, err := os.ReadFile(filepath.Join("..", "..", "tools", "jaeger", "go.mod"))
	if err != nil || !strings.Contains(string(pinned), "github.com/jaegertracing/jaeger "+JaegerVersion+" ") {
		t.Errorf("tools/jaeger/go.mod does not pin %s: %v", JaegerVersion, err)
	}
}

// TestBuildEndsWithItsContext: whoever gives up a build leaves no compiler running.
func TestBuildEndsWithItsContext(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	goProgram := script(t, "go", `sleep 300 & echo $! > "`+pidFile+`.new" && mv "`+pidFile+`.new" "`+pidFile+`"; wait`)
	f := Finder{CacheDir: t.TempDir(), lookPath: path(map[string]string{"go": goProgram})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	module, ended := jaegerModule(t), make(chan error, 1)
	go func() {
		_, err := f.Jaeger(ctx, "", module)
		ended <- err
	}()
	var pid int
	eventually(t, "the build has a child", func() bool {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err == nil
	})
	cancel()
	if err := <-ended; err == nil {
		t.Error("a build that was given up says nothing")
	}
	eventually(t, "the compiler has ended", func() bool {
		state, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		// A child of a dead parent may wait for init to bury it.
		return err != nil || strings.Contains(string(state), ") Z ")
	})
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}
