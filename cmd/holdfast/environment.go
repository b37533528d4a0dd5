package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"
)

// environment is everything outside that the commands use; only main fills it
// from the real one.
type environment struct {
	Getenv func(string) string
	// Executable is the path of this program, Invoked the word it was called by.
	Executable, Invoked string
	Stdin               io.Reader
	Stdout, Stderr      io.Writer
}

// stateDir is the default state folder (XDG Base Directory Specification).
func (e *environment) stateDir() string {
	return e.base("XDG_STATE_HOME", ".local/state")
}

// cacheDir is the folder for what can be fetched again; empty where there is none.
func (e *environment) cacheDir() string {
	return e.base("XDG_CACHE_HOME", ".cache")
}

func (e *environment) base(variable, underHome string) string {
	// The specification asks for relative paths to be passed over.
	if dir := e.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "holdfast")
	}
	if home := e.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, underHome, "holdfast")
	}
	return ""
}

// sibling returns the path of a program that is built together with this one.
func (e *environment) sibling(name string) (string, error) {
	executable, err := filepath.EvalSymlinks(e.Executable)
	if err != nil {
		return "", fmt.Errorf("finding this program: %w", err)
	}
	path := filepath.Join(filepath.Dir(executable), name)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return "", fmt.Errorf("the program %s is not beside this one, at %s: build it with 'make build', or 'go build -o %s ./cmd/...'",
			name, path, filepath.Dir(executable))
	}
	return path, nil
}

// shipped finds a file or folder of the repository: under the working folder,
// else beside the program or one folder up from it.
func (e *environment) shipped(relative, flag string) (string, error) {
	candidates := []string{relative}
	if executable, err := filepath.EvalSymlinks(e.Executable); err == nil {
		dir := filepath.Dir(executable)
		candidates = append(candidates, filepath.Join(dir, relative), filepath.Join(filepath.Dir(dir), relative))
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("looking for %s: %w", relative, err)
		}
	}
	return "", fmt.Errorf("there is no %s; looked at %s: run this in the repository, or say where it is with --%s",
		relative, strings.Join(candidates, ", "), flag)
}

// colors says whether w is a terminal that may be written to in colours.
func (e *environment) colors(w io.Writer) bool {
	return isTerminal(w) && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
