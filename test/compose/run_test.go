package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// started is a compose file that runs natively.
type started struct {
	t       *testing.T
	native  *native
	sup     *supervise.Supervisor
	gateway string
	probes  map[string]supervise.Probe
}

// start runs the services of a project, each stage once the one before is healthy.
func start(t *testing.T, project *types.Project, lookup func(image, name string) (string, error)) *started {
	t.Helper()
	r := &started{t: t, native: newNative(t, project, lookup), probes: map[string]supervise.Probe{}}
	sup, err := supervise.New(supervise.Options{LogDir: filepath.Join(r.native.dir, "logs")})
	if err != nil {
		t.Fatal(err)
	}
	r.sup = sup
	t.Cleanup(r.stop)
	for _, stage := range order(project) {
		var specs []supervise.Spec
		for _, service := range stage {
			spec, err := r.native.spec(service)
			if err != nil {
				t.Fatal(err)
			}
			r.probes[service.Name] = spec.Ready[0]
			specs = append(specs, spec)
		}
		if err := sup.Start(t.Context(), specs...); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *started) stop() {
	if r.t.Failed() {
		for _, child := range r.sup.Children() {
			r.t.Logf("%s said last:\n%s", child.Name(), strings.Join(child.Tail(20), "\n"))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.sup.Close(ctx); err != nil {
		r.t.Error(err)
	}
}

// within polls for what processes do in their own time.
func (r *started) within(limit time.Duration, what string, condition func() error) {
	r.t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			r.t.Fatalf("%s: not after %v: %v", what, limit, err)
		case <-tick.C:
		}
	}
}

// call asks for an order through Envoy and returns the region that answered.
func (r *started) call(order, want string) (string, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	body := testbed.CallTool("1", "get_order", fmt.Sprintf(`{"order_id":%q}`, order))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.gateway+"/mcp", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header = testbed.ModernHeaders("tools/call", "get_order")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("x-holdfast-degraded") != "" || !strings.Contains(string(answer), want) {
		return "", fmt.Errorf("status %d, degraded %q, no %s in %s", resp.StatusCode, resp.Header.Get("x-holdfast-degraded"), want, answer)
	}
	return resp.Header.Get("x-holdfast-region"), nil
}

// answeredBy is nil when a call is answered, by that region.
func (r *started) answeredBy(region string) error {
	got, err := r.call("ORD-7701", "SHIPPED")
	if err == nil && got != region {
		err = fmt.Errorf("answered by %q", got)
	}
	return err
}

func (r *started) child(name string) *supervise.Child {
	r.t.Helper()
	child, ok := r.sup.Child(name)
	if !ok {
		r.t.Fatalf("no service %s runs", name)
	}
	return child
}

// images finds the programs of the images: ours as the Dockerfile builds them, the
// Envoy that all tests use, and Debian's bash in place of Ubuntu's.
func images(t *testing.T) func(image, name string) (string, error) {
	bin, envoy := imagePrograms(t), stacktest.Envoy(t)
	return func(image, name string) (string, error) {
		switch {
		case strings.HasPrefix(image, "holdfast:"):
			path := filepath.Join(bin, name)
			_, err := exec.LookPath(path)
			return path, err
		case strings.HasPrefix(image, "envoyproxy/envoy:") && name == "/usr/local/bin/envoy":
			return envoy, nil
		case strings.HasPrefix(image, "envoyproxy/envoy:") && name == "bash":
			return exec.LookPath(name)
		}
		return "", fmt.Errorf("the image %s is not known to have the program %s", image, name)
	}
}

const (
	mumbai = "asia-south1"
	delhi  = "asia-south2"
)

// TestUp is 'docker compose up' without containers, and then the primary region dies.
func TestUp(t *testing.T) {
	project, err := loadWith(nil, directory(t))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, project, images(t))
	r.gateway = net.JoinHostPort(r.native.address("envoy"), strconv.Itoa(int(project.Services["envoy"].Ports[0].Target)))

	r.within(time.Minute, "Mumbai answers", func() error { return r.answeredBy(mumbai) })
	r.within(time.Minute, "everybody has the configuration", func() error { return r.status() })

	if _, err := r.child("orders-mumbai").Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		region, err := r.call("ORD-7702", "CONFIRMED")
		if err != nil || region != delhi {
			t.Fatalf("call %d after Mumbai's death: region %q, %v", i, region, err)
		}
	}
	if err := r.probes["orders-mumbai"].Check(t.Context()); err == nil {
		t.Error("the health check of a dead server passes")
	}
	if err := r.child("orders-mumbai").Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.within(time.Minute, "Mumbai is back", func() error { return r.answeredBy(mumbai) })
	r.fitsLimits()
}

// status asks the control plane where 'docker compose exec xds holdfast status' does:
// at the default address of that program, in the container of xds.
func (r *started) status() error {
	admin := "--admin=" + stack.DefaultXDSAdmin
	if !slices.Contains(r.native.project.Services["xds"].Command, admin) {
		r.t.Fatalf("xds is not started with %s, where 'holdfast status' asks", admin)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.native.addresses("xds", stack.DefaultXDSAdmin)+"/v1/status", http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var s status.Status
	if err := json.UnmarshalRead(io.LimitReader(resp.Body, 1<<20), &s); err != nil {
		return err
	}
	var synced []string
	for _, node := range s.Nodes {
		if node.Sync == status.Synced {
			synced = append(synced, node.ID)
		}
	}
	slices.Sort(synced)
	if want := []string{"envoy-mumbai-1", "extproc-1", "extproc-2"}; !s.Ready || s.Version != release || !slices.Equal(synced, want) {
		return fmt.Errorf("ready %v, version %s, nodes that have the configuration %v", s.Ready, s.Version, synced)
	}
	return nil
}

// fitsLimits compares the most memory that each process had with its service's limit.
func (r *started) fitsLimits() {
	r.t.Helper()
	for name, service := range r.native.project.Services {
		limit := int64(service.Deploy.Resources.Limits.MemoryBytes)
		peak, err := peakMemory(r.child(name).Status().PID)
		if err != nil || peak > limit/2 {
			r.t.Errorf("%s had up to %d bytes with next to nothing to do, and may have %d (%v)", name, peak, limit, err)
		}
	}
}

// peakMemory is VmHWM of proc_pid_status(5), in bytes.
func peakMemory(pid int) (int64, error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("there is no VmHWM")
}
