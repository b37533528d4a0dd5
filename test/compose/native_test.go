package compose

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// takesEffectIn names the service in which something takes effect that another one
// reads, by mount and by flag: the control plane reads the Gateway and is told the
// processors' sockets, and Envoy listens there and opens them.
var takesEffectIn = map[string]string{"/etc/holdfast": "envoy", "--processors": "envoy"}

// native translates services to processes of this machine. Every container has a
// loopback of its own; here each service has an address out of 127.0.0.0/8 for it,
// which also stands for its address in the network and for "all addresses".
type native struct {
	project *types.Project
	// dir holds a copy of every mount.
	dir string
	// block is a /24 within 127.0.0.0/8.
	block [3]byte
	// lookup finds the path of a program of an image, by the image and the name in the command.
	lookup func(image, name string) (string, error)
}

func newNative(t testing.TB, project *types.Project, lookup func(image, name string) (string, error)) *native {
	t.Helper()
	// Unix sockets have short names at most, so not under t.TempDir.
	dir, err := os.MkdirTemp("", "hfc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("everything of this run is left in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// 127.0.0.0/16 is where everybody else is.
	block := [3]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256))}
	return &native{project: project, dir: dir, block: block, lookup: lookup}
}

// address is the loopback address of a service.
func (n *native) address(service string) string {
	fixed := netip.MustParseAddr(n.project.AllServices()[service].Networks[core].Ipv4Address).As4()
	return n.local(fixed[3])
}

func (n *native) local(last byte) string {
	return netip.AddrFrom4([4]byte{n.block[0], n.block[1], n.block[2], last}).String()
}

var ipv4 = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)

// addresses translates the IP addresses in a text that takes effect in a service.
func (n *native) addresses(service, text string) string {
	subnet := netip.MustParsePrefix(n.project.Networks[core].Ipam.Config[0].Subnet)
	return ipv4.ReplaceAllStringFunc(text, func(found string) string {
		address, err := netip.ParseAddr(found)
		switch {
		case err != nil:
			return found
		case address.IsLoopback() || address.IsUnspecified():
			return n.address(service)
		case subnet.Contains(address):
			return n.local(address.As4()[3])
		}
		return found
	})
}

// place is where a mount is on this machine. Volumes are shared by name.
func (n *native) place(service types.ServiceConfig, m types.ServiceVolumeConfig) string {
	if m.Type == types.VolumeTypeVolume {
		return filepath.Join(n.dir, "volumes", m.Source)
	}
	return filepath.Join(n.dir, "binds", service.Name, filepath.Base(m.Source))
}

// mount makes the folders of volumes, and copies bind mounts with their addresses translated.
func (n *native) mount(service types.ServiceConfig) error {
	for _, m := range service.Volumes {
		place := n.place(service, m)
		if m.Type == types.VolumeTypeVolume {
			if err := os.MkdirAll(place, 0o700); err != nil {
				return err
			}
			continue
		}
		listener := cmp.Or(takesEffectIn[m.Target], service.Name)
		err := filepath.WalkDir(m.Source, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			inside, err := filepath.Rel(m.Source, file)
			if err != nil {
				return err
			}
			to := filepath.Join(place, inside)
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			return os.WriteFile(to, []byte(n.addresses(listener, string(data))), 0o600)
		})
		if err != nil {
			return fmt.Errorf("copying %s: %w", m.Source, err)
		}
	}
	return nil
}

// containerPath is an absolute path in an argument, after a "=", a "," or a scheme.
var containerPath = regexp.MustCompile(`(?:^|[=,]|unix://)(/[^,=]*)`)

// words translates the words of a command of a service.
func (n *native) words(service types.ServiceConfig, words []string) ([]string, error) {
	var out []string
	for _, word := range words {
		flag, _, _ := strings.Cut(word, "=")
		in := n.project.AllServices()[cmp.Or(takesEffectIn[flag], service.Name)]
		for _, match := range containerPath.FindAllStringSubmatch(word, -1) {
			place, err := n.path(in, match[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", word, err)
			}
			word = strings.Replace(word, match[1], place, 1)
		}
		out = append(out, n.addresses(in.Name, word))
	}
	return out, nil
}

// path is where a path of a container is on this machine. One that is not within a
// mount would be in the image, which no command has reason to name: an error.
func (n *native) path(service types.ServiceConfig, path string) (string, error) {
	for _, m := range service.Volumes {
		if after, found := strings.CutPrefix(path, m.Target); found && (after == "" || after[0] == '/') {
			return n.place(service, m) + after, nil
		}
	}
	return "", fmt.Errorf("nothing is mounted at %s of %s", path, service.Name)
}

// spec is how a service runs here. It is ready when its own health check says so.
func (n *native) spec(service types.ServiceConfig) (supervise.Spec, error) {
	if err := n.mount(service); err != nil {
		return supervise.Spec{}, err
	}
	command := slices.Concat(service.Entrypoint, service.Command)
	path, err := n.lookup(service.Image, command[0])
	if err != nil {
		return supervise.Spec{}, err
	}
	args, err := n.words(service, command[1:])
	if err != nil {
		return supervise.Spec{}, err
	}
	probe, err := n.probe(service)
	if err != nil {
		return supervise.Spec{}, err
	}
	h := service.HealthCheck
	s := supervise.Spec{
		Name: service.Name, Path: path, Args: args, Env: environment(service), Dir: n.dir, Ready: []supervise.Probe{probe},
		ReadyWithin: time.Duration(*h.StartPeriod) + time.Duration(*h.Retries)*time.Duration(*h.Interval),
		Grace:       10 * time.Second, // the engine's own
	}
	if service.StopGracePeriod != nil {
		s.Grace = time.Duration(*service.StopGracePeriod)
	}
	if service.Restart == types.RestartPolicyUnlessStopped {
		s.Restart = supervise.RestartAlways
	}
	return s, nil
}

// environment has what the service says and nothing of this machine.
func environment(service types.ServiceConfig) []string {
	env := []string{}
	for name, value := range service.Environment {
		if value != nil {
			env = append(env, name+"="+*value)
		}
	}
	return env
}

// probe runs the service's health check, and nothing but its first word.
func (n *native) probe(service types.ServiceConfig) (supervise.Probe, error) {
	test := service.HealthCheck.Test[1:]
	path, err := n.lookup(service.Image, test[0])
	if err != nil {
		return supervise.Probe{}, fmt.Errorf("the health check: %w", err)
	}
	var args []string
	for _, word := range test[1:] {
		args = append(args, n.addresses(service.Name, word))
	}
	timeout := time.Duration(*service.HealthCheck.Timeout)
	return supervise.Probe{Name: strings.Join(test, " "), Check: func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, path, args...)
		// No PATH: the check finds nothing but what it was started with.
		cmd.Env = append(environment(service), "PATH=")
		cmd.WaitDelay = time.Second
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}}, nil
}

// order puts the enabled services into stages, each after what its services depend on.
func order(project *types.Project) [][]types.ServiceConfig {
	depth := map[string]int{}
	var measure func(name string) int
	measure = func(name string) int {
		if known, ok := depth[name]; ok {
			return known
		}
		for _, dependency := range project.Services[name].GetDependencies() {
			depth[name] = max(depth[name], measure(dependency)+1)
		}
		return depth[name]
	}
	var stages [][]types.ServiceConfig
	for _, name := range project.ServiceNames() {
		for len(stages) <= measure(name) {
			stages = append(stages, nil)
		}
		stages[measure(name)] = append(stages[measure(name)], project.Services[name])
	}
	return stages
}
