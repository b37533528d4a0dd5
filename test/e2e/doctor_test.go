package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/doctor"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestDoctorOnTheRealThing: of a running set-up nothing fails, and of what is killed the right part does.
func TestDoctorOnTheRealThing(t *testing.T) {
	t.Parallel()
	bed := testbed.Start(t, testbed.Options{Config: testbed.QuickChecks(testbed.DefaultConfig)})
	examine := func() (failed map[string]string, code int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, testbed.Parts(t).Holdfast, "doctor", "-o", "json", "--state", t.TempDir(), "--server", "http://"+bed.XDSAdmin, //nolint:gosec // our own program
			"--gateway", bed.Gateway, "--envoy-admin", bed.Admin, "--processor", bed.Addr(testbed.Extproc1), "--processor", bed.Addr(testbed.Extproc2))
		out, _ := cmd.Output() // its exit code is looked at
		var page struct {
			Findings []doctor.Finding `json:"findings"`
		}
		if err := json.Unmarshal(out, &page); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		failed = map[string]string{}
		for _, f := range page.Findings {
			if f.State == doctor.Fail {
				failed[f.Check] = f.Message
			}
		}
		return failed, cmd.ProcessState.ExitCode()
	}
	bed.Until(testbed.Patience, "nothing fails", func() bool {
		failed, code := examine()
		return len(failed) == 0 && code == 0
	})
	bed.Kill("primary-mumbai")
	bed.Kill("standby-delhi")
	bed.Until(testbed.Patience, "the servers are found", func() bool {
		failed, code := examine()
		return failed["servers"] != "" && failed["gateway"] == "" && failed["xds"] == "" && code == 1
	})
}
