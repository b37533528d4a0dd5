package compose

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// core is the network that every service has a fixed address in.
const core = "core"

// pinned is an image with a digest, or with a tag that names a whole version.
var pinned = regexp.MustCompile(`(@sha256:[0-9a-f]{64}|:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?)$`)

// violations are the rules of this repository that a project breaks.
func violations(project *types.Project) []error {
	var errs []error
	addresses := map[string]string{}
	for name, service := range project.AllServices() {
		for _, rule := range []func(types.ServiceConfig) error{image, limits, health, privileges, user, output, publishing, memory} {
			if err := rule(service); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		errs = append(errs, mounts(project, service)...)
		address, err := fixedAddress(project, service)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		if other, taken := addresses[address]; taken {
			errs = append(errs, fmt.Errorf("%s and %s have the same address %s", name, other, address))
		}
		addresses[address] = name
	}
	return errs
}

func image(s types.ServiceConfig) error {
	if s.Build != nil {
		return nil // ours; the Dockerfile has tests of its own
	}
	if !pinned.MatchString(s.Image) {
		return fmt.Errorf("image %q is not pinned to one version", s.Image)
	}
	return nil
}

func limits(s types.ServiceConfig) error {
	if s.Restart != types.RestartPolicyUnlessStopped {
		return fmt.Errorf("restart is %q", s.Restart)
	}
	if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
		return errors.New("there are no resource limits")
	}
	l := s.Deploy.Resources.Limits
	if l.NanoCPUs <= 0 || l.MemoryBytes <= 0 || l.Pids <= 0 {
		return fmt.Errorf("a resource is not limited: %v CPUs, %d bytes, %d processes", l.NanoCPUs, l.MemoryBytes, l.Pids)
	}
	return nil
}

func health(s types.ServiceConfig) error {
	h := s.HealthCheck
	if h == nil || h.Disable || len(h.Test) < 2 || h.Test[0] != "CMD" {
		return errors.New("there is no health check that runs without a shell")
	}
	if h.Interval == nil || h.Timeout == nil || h.Retries == nil || h.StartPeriod == nil || h.StartInterval == nil {
		return errors.New("the health check leaves a time to the engine")
	}
	return nil
}

func privileges(s types.ServiceConfig) error {
	switch {
	case !s.ReadOnly:
		return errors.New("the root file system can be written")
	case !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0:
		return errors.New("it keeps capabilities")
	case !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.UseAPISocket:
		return errors.New("it may gain privileges")
	case s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" || s.Uts != "" || s.UserNSMode != "" || len(s.Devices) > 0:
		return errors.New("it shares something with the host")
	}
	return nil
}

func user(s types.ServiceConfig) error {
	uid, gid, found := strings.Cut(s.User, ":")
	for _, id := range []string{uid, gid} {
		// A name would be looked up in the image, whatever it stands for there.
		if n, err := strconv.Atoi(id); !found || err != nil || n == 0 {
			return fmt.Errorf("user %q is not two numbers other than 0", s.User)
		}
	}
	return nil
}

func output(s types.ServiceConfig) error {
	if s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
		return errors.New("its log is not bounded")
	}
	return nil
}

func publishing(s types.ServiceConfig) error {
	for _, port := range s.Ports {
		if ip, err := netip.ParseAddr(port.HostIP); err != nil || !ip.IsLoopback() {
			return fmt.Errorf("port %d is published on %q, not on loopback alone", port.Target, port.HostIP)
		}
	}
	return nil
}

// memory: the garbage collector knows of the limit and leaves a tenth of it to
// what it does not see.
func memory(s types.ServiceConfig) error {
	value := s.Environment["GOMEMLIMIT"]
	if value == nil {
		if s.Build != nil {
			return errors.New("GOMEMLIMIT is not set")
		}
		return nil
	}
	mib, err := strconv.ParseInt(strings.TrimSuffix(*value, "MiB"), 10, 64)
	if err != nil {
		return fmt.Errorf("GOMEMLIMIT %q: %w", *value, err)
	}
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		if limit := int64(s.Deploy.Resources.Limits.MemoryBytes); mib<<20 > limit*9/10 {
			return fmt.Errorf("GOMEMLIMIT %s is too close to the limit of %d bytes", *value, limit)
		}
	}
	return nil
}

func mounts(project *types.Project, s types.ServiceConfig) []error {
	var errs []error
	for _, m := range s.Volumes {
		switch m.Type {
		case types.VolumeTypeBind:
			relative, err := filepath.Rel(project.WorkingDir, m.Source)
			if _, missing := os.Stat(m.Source); err != nil || missing != nil || strings.HasPrefix(relative, "..") {
				errs = append(errs, fmt.Errorf("%s: %s is not there beside the compose file", s.Name, m.Source))
			}
			if !m.ReadOnly || m.Bind == nil || bool(m.Bind.CreateHostPath) {
				errs = append(errs, fmt.Errorf("%s: %s can be written or made by a container", s.Name, m.Source))
			}
		case types.VolumeTypeVolume:
			if m.Source == "" {
				errs = append(errs, fmt.Errorf("%s: the volume at %s has no name and is lost with the container", s.Name, m.Target))
			}
		default:
			errs = append(errs, fmt.Errorf("%s: a mount of type %q", s.Name, m.Type))
		}
	}
	return errs
}

func fixedAddress(project *types.Project, s types.ServiceConfig) (string, error) {
	network, attached := s.Networks[core]
	if !attached || network == nil || network.Ipv4Address == "" {
		return s.Name, fmt.Errorf("no fixed address in the network %q", core)
	}
	pools := project.Networks[core].Ipam.Config
	if len(pools) != 1 {
		return network.Ipv4Address, fmt.Errorf("the network %q has %d subnets", core, len(pools))
	}
	subnet, err := netip.ParsePrefix(pools[0].Subnet)
	if err != nil {
		return network.Ipv4Address, fmt.Errorf("the subnet of %q: %w", core, err)
	}
	if address, err := netip.ParseAddr(network.Ipv4Address); err != nil || !subnet.Contains(address) || address == subnet.Addr().Next() {
		return network.Ipv4Address, fmt.Errorf("%s is not free for a service in %s", network.Ipv4Address, subnet)
	}
	return network.Ipv4Address, nil
}

func TestRules(t *testing.T) {
	for _, err := range violations(load(t)) {
		t.Error(err)
	}
}

// TestRulesFindFaults breaks the file in one way at a time.
func TestRulesFindFaults(t *testing.T) {
	for _, c := range []struct{ name, override, want string }{
		{"moving tag", `{redis: {image: "redis:latest"}}`, "is not pinned"},
		{"no tag", `{redis: {image: redis}}`, "is not pinned"},
		{"major tag", `{redis: {image: "redis:7"}}`, "is not pinned"},
		{"restart", `{xds: {restart: "no"}}`, `restart is "no"`},
		{"no limits", `{xds: {deploy: !reset null}}`, "no resource limits"},
		{"no memory limit", `{xds: {deploy: !override {resources: {limits: {cpus: "1", pids: 9}}}}}`, "not limited"},
		{"no health check", `{xds: {healthcheck: {disable: true}}}`, "no health check"},
		{"shell health check", `{xds: {healthcheck: {test: "true"}}}`, "no health check"},
		{"writable", `{envoy: {read_only: false}}`, "can be written"},
		{"capability", `{envoy: {cap_add: [NET_ADMIN]}}`, "keeps capabilities"},
		{"privileged", `{envoy: {privileged: true}}`, "gain privileges"},
		{"host network", `{redis: {networks: !reset null, network_mode: host}}`, "shares something with the host"},
		{"root", `{envoy: {user: "0:0"}}`, "user"},
		{"root by name", `{envoy: {user: root}}`, "user"},
		{"root group", `{envoy: {user: "65532:0"}}`, "user"},
		{"endless log", `{envoy: {logging: !reset null}}`, "not bounded"},
		{"open port", `{envoy: {ports: ["10001:10000"]}}`, "not on loopback"},
		{"memory", `{xds: {environment: {GOMEMLIMIT: 600MiB}}}`, "too close"},
		{"missing source", `{xds: {volumes: [{type: bind, source: ./nothing, target: /x, read_only: true}]}}`, "is not there"},
		{"foreign source", `{xds: {volumes: [{type: bind, source: /etc, target: /x, read_only: true}]}}`, "is not there"},
		{"writable source", `{xds: {volumes: [{type: bind, source: ./config, target: /etc/holdfast}]}}`, "can be written"},
		{"same address", `{redis: {networks: {core: {ipv4_address: 10.123.77.10}}}}`, "same address"},
		{"gateway's address", `{redis: {networks: {core: {ipv4_address: 10.123.77.1}}}}`, "not free"},
		{"foreign address", `{redis: {networks: {core: {ipv4_address: 10.9.9.9}}}}`, "not free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := errors.Join(violations(load(t, "services: "+c.override))...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("it says %v, and not %q", err, c.want)
			}
		})
	}
}

// TestOnlyWhatIsUsedRuns: what no program uses yet waits behind a profile.
func TestOnlyWhatIsUsedRuns(t *testing.T) {
	for _, c := range []struct {
		profiles []string
		want     string
	}{
		{nil, "envoy extproc-1 extproc-2 orders-delhi orders-mumbai xds"},
		{[]string{"limits"}, "envoy extproc-1 extproc-2 orders-delhi orders-mumbai redis xds"},
		{[]string{"traces"}, "envoy extproc-1 extproc-2 jaeger orders-delhi orders-mumbai xds"},
	} {
		project, err := loadWith(c.profiles, directory(t))
		if err != nil {
			t.Fatal(err)
		}
		names := project.ServiceNames()
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("profiles %v run %s", c.profiles, got)
		}
		for name, service := range project.Services {
			if len(service.Ports) > 0 && name != "envoy" && name != "jaeger" {
				t.Errorf("%s publishes a port", name)
			}
		}
	}
}

// TestSockets: extproc opens its socket to its own user alone, so that user has to
// be Envoy's too, and the owner of the volume.
func TestSockets(t *testing.T) {
	project := load(t)
	options := project.Volumes["sockets"].DriverOpts
	for name, service := range project.AllServices() {
		for _, m := range service.Volumes {
			if m.Source != "sockets" {
				continue
			}
			uid, gid, _ := strings.Cut(service.User, ":")
			if want := fmt.Sprintf("uid=%s,gid=%s,mode=0700,size=1m", uid, gid); options["o"] != want || options["type"] != "tmpfs" {
				t.Errorf("the sockets are mounted as %v, and %s needs %s", options, name, want)
			}
			if writes := strings.HasPrefix(name, "extproc-"); m.ReadOnly == writes {
				t.Errorf("%s mounts the sockets read-only: %v", name, m.ReadOnly)
			}
		}
	}
}

// TestEnvoyMatchesItsLimits: as many worker threads as CPUs.
func TestEnvoyMatchesItsLimits(t *testing.T) {
	service := load(t).AllServices()["envoy"]
	at := slices.Index(service.Command, "--concurrency")
	if at < 0 || at+1 == len(service.Command) {
		t.Fatalf("no --concurrency in %q", service.Command)
	}
	cpus := int(math.Round(float64(service.Deploy.Resources.Limits.NanoCPUs)))
	if service.Command[at+1] != strconv.Itoa(cpus) {
		t.Errorf("%s worker threads on %d CPUs", service.Command[at+1], cpus)
	}
}
