package parts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRedisOnPathOrConfigured(t *testing.T) {
	program := script(t, "redis-server", "exit 0")
	f := Finder{CacheDir: t.TempDir(), lookPath: path(map[string]string{"redis-server": program})}
	if found, err := f.Redis(t.Context(), ""); err != nil || found.Path != program || found.Source != SourcePath {
		t.Errorf("found %+v, %v", found, err)
	}
	if found, err := f.Redis(t.Context(), program); err != nil || found.Source != SourceConfigured {
		t.Errorf("configured: found %+v, %v", found, err)
	}
	if found, err := f.Redis(t.Context(), "/nowhere/redis"); err == nil || !strings.Contains(err.Error(), "/nowhere/redis") {
		t.Errorf("configured, not there: found %+v, %v", found, err)
	}
}

// TestRedisFromPackages unpacks packages as a stand-in for apt-get hands them out.
func TestRedisFromPackages(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Fatalf("this test makes Debian packages: install dpkg: %v", err)
	}
	repository := t.TempDir()
	pack := func(name, depends, file string) {
		root := filepath.Join(t.TempDir(), name)
		for path, text := range map[string]string{
			"DEBIAN/control": "Package: " + name + "\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\nDepends: " + depends + "\n",
			file:             "#!/bin/sh\n",
		} {
			target := filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // dpkg-deb insists
				t.Fatal(err)
			}
			if err := os.WriteFile(target, []byte(text), 0o755); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
		}
		if out, err := exec.CommandContext(t.Context(), dpkg, "-b", root, filepath.Join(repository, name+"_1_all.deb")).CombinedOutput(); err != nil { //nolint:gosec // our own paths
			t.Fatalf("%v: %s", err, out)
		}
	}
	pack("redis-tools", "adduser, libc6 (>= 2), liblzf1 | libother, libhere (= 1)", "usr/bin/redis-check-rdb")
	pack("liblzf1", "libc6", "usr/lib/x86_64-linux-gnu/liblzf.so.1")
	apt := script(t, "apt-get", `for name; do :; done
cp "`+repository+`/$name"_1_all.deb .`)
	query := script(t, "dpkg-query", `for name; do :; done
[ "$name" = libhere ] && printf 'install ok installed'`)
	f := Finder{CacheDir: t.TempDir(), lookPath: path(map[string]string{"apt-get": apt, "dpkg-query": query, "dpkg-deb": dpkg})}
	for _, want := range []Source{SourceFetched, SourceCache} {
		found, err := f.Redis(t.Context(), "")
		if err != nil || found.Source != want {
			t.Fatalf("found %+v, %v; want %s", found, err, want)
		}
		if filepath.Base(found.Path) != "redis-server" || !strings.Contains(found.Env[0], "x86_64-linux-gnu") {
			t.Errorf("found %+v", found)
		}
	}
}

func TestRedisThatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		programs map[string]string
		want     string
	}{
		"no Debian":   {nil, "no Debian"},
		"no packages": {map[string]string{"apt-get": script(t, "apt-get", "echo Unable to locate package >&2; exit 100")}, "Unable to locate package"},
	} {
		f := Finder{CacheDir: t.TempDir(), lookPath: path(test.programs)}
		found, err := f.Redis(t.Context(), "")
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "apt install redis-server") {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
}

func TestLibraries(t *testing.T) {
	got := libraries("adduser, libatomic1 (>= 4.8), libc6 (>= 2.34), libsystemd0 | libelogind0, libssl3:any\n")
	if want := []string{"libatomic1", "libsystemd0", "libssl3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
