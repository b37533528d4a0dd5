package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// redisTimeout bounds one fetch; the packages have about 3 MB.
	redisTimeout = 10 * time.Minute
	// maxRedisPackages bounds what Debian's dependencies can lead to.
	maxRedisPackages = 40
	otherRedis       = "install it (Debian: apt install redis-server), or set HOLDFAST_REDIS to a redis-server binary"
	redisDir         = "redis-debian"
)

// Redis is a redis-server binary.
type Redis struct {
	// Path is absolute.
	Path string
	// Env has to be added to the environment of the program.
	Env    []string
	Source Source
}

// Redis returns the configured redis-server, else the one on PATH, else one from
// Debian's packages, unpacked into the cache folder without becoming root. Tests
// need it; Holdfast itself runs without Redis.
func (f *Finder) Redis(ctx context.Context, configured string) (Redis, error) {
	if configured != "" {
		path, err := filepath.Abs(configured)
		if err == nil {
			err = executable(path)
		}
		if err != nil {
			return Redis{}, fmt.Errorf("the configured redis-server %q cannot be used: %w", configured, err)
		}
		return Redis{Path: path, Source: SourceConfigured}, nil
	}
	if path, err := f.look()("redis-server"); err == nil {
		return Redis{Path: path, Source: SourcePath}, nil
	}
	if f.CacheDir == "" {
		return Redis{}, fmt.Errorf("no redis-server: there is no cache folder to unpack one into: set HOME or XDG_CACHE_HOME, or %s", otherRedis)
	}
	dir := filepath.Join(f.CacheDir, redisDir)
	if found, err := unpackedRedis(dir, SourceCache); err == nil {
		return found, nil
	}
	if err := os.MkdirAll(f.CacheDir, 0o755); err != nil { //nolint:gosec // a cache of public files
		return Redis{}, fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := Lock(ctx, dir+".lock", func() { f.say("waiting for another process that is fetching Redis") })
	if err != nil {
		return Redis{}, err
	}
	defer unlock()
	// Whoever held the lock before has probably done the work.
	if found, err := unpackedRedis(dir, SourceCache); err == nil {
		return found, nil
	}
	f.say("fetching redis-server from Debian's packages")
	if err := f.unpackRedis(ctx, dir); err != nil {
		return Redis{}, fmt.Errorf("getting redis-server: %w; %s", err, otherRedis)
	}
	return unpackedRedis(dir, SourceFetched)
}

// unpackedRedis is what an earlier fetch left. In Debian redis-server is another
// name of redis-check-rdb, which looks at argument zero.
func unpackedRedis(dir string, source Source) (Redis, error) {
	path := filepath.Join(dir, "usr", "bin", "redis-server")
	if err := executable(path); err != nil {
		return Redis{}, err
	}
	libraries, err := filepath.Glob(filepath.Join(dir, "usr", "lib", "*-linux-gnu*"))
	if err != nil {
		return Redis{}, fmt.Errorf("looking for its libraries: %w", err)
	}
	more, err := filepath.Glob(filepath.Join(dir, "lib", "*-linux-gnu*"))
	if err != nil {
		return Redis{}, fmt.Errorf("looking for its libraries: %w", err)
	}
	found := Redis{Path: path, Source: source}
	if libraries = append(libraries, more...); len(libraries) > 0 {
		found.Env = []string{"LD_LIBRARY_PATH=" + strings.Join(libraries, ":")}
	}
	return found, nil
}

// unpackRedis downloads redis-tools and those of its dependencies that the machine
// lacks, unpacks them side by side, and renames the folder into place.
func (f *Finder) unpackRedis(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	scratch := dir + ".new"
	if err := errors.Join(os.RemoveAll(scratch), os.RemoveAll(dir), os.MkdirAll(filepath.Join(scratch, "partial"), 0o755)); err != nil { //nolint:gosec // public files
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	apt := debian{finder: f, dir: scratch}
	wanted, seen := []string{"redis-tools"}, map[string]bool{}
	for len(wanted) > 0 {
		name := wanted[0]
		wanted = wanted[1:]
		if seen[name] || (name != "redis-tools" && apt.installed(ctx, name)) {
			continue
		}
		if seen[name] = true; len(seen) > maxRedisPackages {
			return fmt.Errorf("more than %d packages are needed", maxRedisPackages)
		}
		needs, err := apt.unpack(ctx, name)
		if err != nil {
			return err
		}
		wanted = append(wanted, needs...)
	}
	if err := os.Symlink("redis-check-rdb", filepath.Join(scratch, "usr", "bin", "redis-server")); err != nil {
		return fmt.Errorf("naming it redis-server: %w", err)
	}
	if err := os.Rename(scratch, dir); err != nil {
		return fmt.Errorf("putting it into place: %w", err)
	}
	return nil
}

// debian unpacks packages into dir with apt-get and dpkg-deb, neither of which
// needs root for that.
type debian struct {
	finder *Finder
	dir    string
	// lists are options by which apt uses package lists that were fetched into dir;
	// nil while it uses the machine's.
	lists []string
}

func (d *debian) run(ctx context.Context, program string, args ...string) (string, error) {
	path, err := d.finder.look()(program)
	if err != nil {
		return "", fmt.Errorf("%s is missing, so this is no Debian: %w", program, err)
	}
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // names of Debian packages
	cmd.Dir, cmd.WaitDelay = d.dir, 2*time.Second
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return "", fmt.Errorf("%s %s: %w%s", program, strings.Join(args, " "), err, quoteTail(failed.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return string(out), nil
}

func (d *debian) installed(ctx context.Context, name string) bool {
	status, err := d.run(ctx, "dpkg-query", "-W", "-f", "${Status}", name)
	return err == nil && strings.HasSuffix(status, " installed")
}

// unpack returns the names of the packages that the named one depends on.
func (d *debian) unpack(ctx context.Context, name string) ([]string, error) {
	if err := d.download(ctx, name); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(d.dir, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		return nil, fmt.Errorf("apt-get left %d files of %s, expected one", len(files), name)
	}
	if _, err := d.run(ctx, "dpkg-deb", "-x", files[0], "."); err != nil {
		return nil, err
	}
	depends, err := d.run(ctx, "dpkg-deb", "-f", files[0], "Depends")
	if err != nil {
		return nil, err
	}
	return libraries(depends), os.Remove(files[0])
}

func (d *debian) download(ctx context.Context, name string) error {
	_, err := d.run(ctx, "apt-get", append(d.lists, "-q", "download", name)...)
	if err == nil || d.lists != nil {
		return err
	}
	// A machine whose package lists were never fetched, as container images are.
	lists := filepath.Join(d.dir, "lists")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil { //nolint:gosec // public files
		return fmt.Errorf("making a folder for package lists: %w", err)
	}
	d.lists = []string{"-o", "Dir::State::lists=" + lists, "-o", "Dir::Cache=" + d.dir, "-o", "APT::Sandbox::User="}
	if _, err := d.run(ctx, "apt-get", append(d.lists, "-q", "update")...); err != nil {
		return err
	}
	_, err = d.run(ctx, "apt-get", append(d.lists, "-q", "download", name)...)
	return err
}

// libraries picks the shared libraries out of a Depends field (Debian Policy 7.1),
// the first of alternatives. The C library is every machine's own.
func libraries(depends string) []string {
	var names []string
	for part := range strings.SplitSeq(depends, ",") {
		first, _, _ := strings.Cut(part, "|")
		name, _, _ := strings.Cut(strings.TrimSpace(first), " ")
		name, _, _ = strings.Cut(name, ":")
		if strings.HasPrefix(name, "lib") && name != "libc6" {
			names = append(names, name)
		}
	}
	return names
}
