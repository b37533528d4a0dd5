package drills

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/drill"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// command runs the real command line.
func command(t *testing.T, args ...string) (stdout string, took time.Duration, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), stacktest.Programs(t).Holdfast, args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	began := time.Now()
	err = cmd.Run()
	t.Logf("holdfast %s\n%s%s", strings.Join(args, " "), &out, &problems)
	return out.String(), time.Since(began), err
}

// TestNewcomer: what somebody gets who has just started everything and plays a drill.
func TestNewcomer(t *testing.T) {
	beside(t)
	root, dir := stacktest.Root(t), t.TempDir()
	opts := stack.Options{
		Config: filepath.Join(root, "examples", "shopmax"), State: filepath.Join(dir, "state"), Temp: os.TempDir(),
		Programs: testbed.Parts(t), Bootstrap: filepath.Join(root, "envoy", "bootstrap.yaml"), Demo: demo.Places(), AnyPorts: true, EnvoyConcurrency: 1,
	}
	up, err := stack.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := up.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	d := newLedger(t, newcomerDrill)
	said, took, err := command(t, "drill", drill.RegionLoss, "--yes", "--state", opts.State)
	asPromised(t, err)
	readable := strings.Contains(said, "primary-mumbai were killed") && strings.Contains(said, "the failure was noticed after") &&
		strings.Contains(said, "s promised: ")
	d.holds("the report says what happened in words", "yes", yesOrNo(readable), readable)
	d.within("time to the report", took, time.Minute, 0)
	kept, err := drill.Kept(filepath.Join(opts.State, "drills"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d reports are kept: %v", len(kept), err)
	}
	// Everything else that can be broken here, and the first again, which is then compared with the time before.
	others := []string{drill.MCPErrors, drill.ControlPlaneLoss, drill.ExtprocLoss, drill.RegionLoss}
	if *absolute {
		others = append([]string{drill.Hang, drill.Slow, drill.Errors5xx, drill.BrokenSSE, drill.Flapping}, others...)
	}
	said, _, err = command(t, append(append([]string{"drill"}, others...), "--yes", "--before", "1s", "--hold", "3s", "-o", "json", "--state", opts.State)...)
	asPromised(t, err)
	reports := json.NewDecoder(strings.NewReader(said))
	for _, name := range others {
		var r struct {
			drill.Report
			Last *drill.Report `json:"last"`
		}
		if err := reports.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Drill != name || r.Calls.Made == 0 || *r.Calls.ExecutedTwice != 0 || (r.Last != nil) != (name == drill.RegionLoss) {
			t.Errorf("%s: %+v", name, r)
		}
		if r.DetectedMS == nil && r.Aborted == "" && name != drill.Slow {
			t.Errorf("%s: nobody has noticed", name)
		}
	}
}

// asPromised asserts that the drills went as Holdfast promises, where the machine is one that keeps up: ShopMax gives a call two
// seconds, which is not asked of one that tests a dozen packages at the same time.
func asPromised(t *testing.T, err error) {
	t.Helper()
	if *absolute && err != nil {
		t.Errorf("not as promised: %v", err)
	}
}

// TestStaging: a system that nobody here runs, broken by a real fault proxy before one of its servers, and by commands.
func TestStaging(t *testing.T) {
	beside(t)
	api := stacktest.Address(t)
	host, port, err := net.SplitHostPort(api)
	if err != nil {
		t.Fatal(err)
	}
	proxy := newFaultProxy(t)
	proxy.server = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	go proxy.server.Listen(host, port) // has no way to stop, and ends with the tests
	bed := testbed.Start(t, testbed.Options{Config: strings.Replace(testbed.Hasty(testbed.DefaultConfig), "${"+primary+"}", proxy.Listen, 1)})
	proxy.open(bed.Addr(primary))
	bed.Until(patience, "the primary answers", func() bool {
		answer, err := bed.Post("/mcp", testbed.ModernHeaders("tools/call", "get_order"), testbed.CallTool("1", "get_order", `{"order_id":"ORD-7701"}`))
		return err == nil && answer.Header.Get("x-holdfast-via") == primary
	})
	marker := filepath.Join(t.TempDir(), "marker")
	faults := filepath.Join(t.TempDir(), "faults.yaml")
	text := "crash: {toxiproxy: \"http://" + api + "\", proxies: [server]}\nhang: {toxiproxy: \"http://" + api + "\", proxies: [server]}\n" +
		"clock-skew: {break: \"touch " + marker + "\", mend: \"rm -f " + marker + "\", noticed: \"test -e " + marker + " && echo the clock\"}\n"
	if err := os.WriteFile(faults, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, d := range []struct {
		name, by string
		hold     time.Duration
	}{
		{drill.Crash, "calls that went elsewhere", 3 * time.Second},
		// One round of tries is not always enough for Envoy: the proxy takes new connections, which counts for it.
		{drill.Hang, "calls that went elsewhere", 5 * testbed.HastyTry},
		{drill.ClockSkew, "the clock", 3 * time.Second},
	} {
		said, _, err := command(t, "drill", d.name, "--yes", "--url", "http://"+bed.Gateway+"/mcp", "--faults", faults,
			"--call", `get_order {"order_id":"ORD-7701"}`, "--unsafe-call", `create_order {"customer_id":"C-1201","total_rs":100}`,
			"--journal", filepath.Join(bed.Dir, primary+".journal"), "--journal", filepath.Join(bed.Dir, standby+".journal"), "--call-id-key", demo.CallIDKey,
			"--before", "1s", "--hold", d.hold.String(), "-o", "json", "--reports", filepath.Join(t.TempDir(), "reports"))
		asPromised(t, err)
		var r drill.Report
		if err := json.Unmarshal([]byte(said), &r); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.DetectedBy, d.by) || r.DetectedMS == nil || r.Calls.ExecutedTwice == nil || *r.Calls.ExecutedTwice != 0 || r.Calls.Unsafe == 0 {
			t.Errorf("%+v", r)
		}
	}
	if _, err := os.Stat(marker); !os.IsNotExist(err) {
		t.Error("what was broken by a command is not mended")
	}
}

func yesOrNo(held bool) string {
	if held {
		return "yes"
	}
	return "no"
}
