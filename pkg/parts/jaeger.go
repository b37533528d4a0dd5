package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// JaegerVersion is the release that tools/jaeger pins: the newest whose
// all-in-one builds as a dependency.
const JaegerVersion = "v1.62.0"

const (
	jaegerPackage = "github.com/jaegertracing/jaeger/cmd/all-in-one"
	// jaegerBuildTimeout bounds one build; it takes two minutes on two cores.
	jaegerBuildTimeout = 20 * time.Minute
	otherJaegers       = "set HOLDFAST_JAEGER_BIN to a jaeger all-in-one binary, or HOLDFAST_JAEGER to off or to the address of one that runs"
)

// SourceBuilt says that this run has compiled it.
const SourceBuilt Source = "built"

// Jaeger is a Jaeger all-in-one binary.
type Jaeger struct {
	// Path is absolute.
	Path   string
	Source Source
}

// Jaeger returns the configured binary, else the cached one, else builds it from
// module, the folder of the Go module that pins it (tools/jaeger). The build has
// no web page: Jaeger's Go module holds a placeholder in its place.
func (f *Finder) Jaeger(ctx context.Context, configured, module string) (Jaeger, error) {
	if configured != "" {
		path, err := filepath.Abs(configured)
		if err == nil {
			err = executable(path)
		}
		if err != nil {
			return Jaeger{}, fmt.Errorf("the configured Jaeger %q cannot be used: %w", configured, err)
		}
		return Jaeger{Path: path, Source: SourceConfigured}, nil
	}
	if f.CacheDir == "" {
		return Jaeger{}, fmt.Errorf("no Jaeger: there is no cache folder to build one into: set HOME or XDG_CACHE_HOME, or %s", otherJaegers)
	}
	dir := filepath.Join(f.CacheDir, "jaeger-"+JaegerVersion)
	binary := filepath.Join(dir, "jaeger")
	if executable(binary) == nil {
		return Jaeger{Path: binary, Source: SourceCache}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a cache of public files
		return Jaeger{}, fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := Lock(ctx, dir+".lock", func() { f.say("waiting for another process that is building Jaeger") })
	if err != nil {
		return Jaeger{}, err
	}
	defer unlock()
	// Whoever held the lock before has probably done the work.
	if executable(binary) == nil {
		return Jaeger{Path: binary, Source: SourceCache}, nil
	}
	if err := f.buildJaeger(ctx, module, binary); err != nil {
		return Jaeger{}, fmt.Errorf("getting Jaeger %s: %w; or %s", JaegerVersion, err, otherJaegers)
	}
	return Jaeger{Path: binary, Source: SourceBuilt}, nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("looking at it: %w", err)
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return errors.New("it is not a program")
	}
	return nil
}

// buildJaeger builds beside the target and renames it into place, so that the
// target is whole or absent.
func (f *Finder) buildJaeger(ctx context.Context, module, target string) error {
	if _, err := os.Stat(filepath.Join(module, "go.mod")); err != nil {
		return fmt.Errorf("it is built from Holdfast's tools/jaeger, which is not here: %w", err)
	}
	goProgram, err := f.look()("go")
	if err != nil {
		return fmt.Errorf("the go command is missing (https://go.dev/dl): %w", err)
	}
	f.say("building Jaeger " + JaegerVersion + ", once; this takes two minutes or more")
	ctx, cancel := context.WithTimeout(ctx, jaegerBuildTimeout)
	defer cancel()
	staged := target + ".new"
	cmd := exec.CommandContext(ctx, goProgram, "build", "-trimpath", "-o", staged, jaegerPackage) //nolint:gosec // pinned words and our own paths
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := inBackground(cmd); err != nil {
		return fmt.Errorf("go build: %w%s", err, quoteTail(out))
	}
	if err := os.Rename(staged, target); err != nil {
		return fmt.Errorf("putting it into place: %w", err)
	}
	return nil
}

// inBackground runs cmd as a process group of its own, at a low priority, so that it takes no time from
// what somebody waits for. When cmd's context ends the whole group does.
func inBackground(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was run
	}
	// What it starts from now on has the same; one that cannot be set costs time only.
	_ = syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, backgroundNice)
	err := cmd.Wait()
	return out.Bytes(), err //nolint:wrapcheck // the caller says what was run
}

// backgroundNice of 19 leaves nearly all of a processor to others that want it.
const backgroundNice = 10
