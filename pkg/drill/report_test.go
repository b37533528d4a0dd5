package drill

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func reportAt(at time.Time) *Report {
	zero := 0
	return &Report{
		Drill: Crash, Says: "the server that calls go to crashes", Did: "a was killed", Undid: "it was started again",
		Endpoint: "http://127.0.0.1:10000/mcp", Started: at, Callers: 16, Rate: 100, BrokenForMS: 10_100,
		DetectedMS: milliseconds(8 * time.Millisecond), DetectedBy: "Envoy's\x1b[31m health check", FirstGoodMS: milliseconds(12 * time.Millisecond),
		RecoveredMS: milliseconds(1203 * time.Millisecond), P99BeforeMS: 9, P99MeanwhileMS: 11, SlowestMS: 40,
		Calls: Calls{
			Made: 1500, Good: 1496, Retried: 3, Degraded: map[string]int{"stale": 1}, Failed: map[string]int{"service_unavailable": 2, "timeout": 1},
			Unsafe: 150, Unknown: 3, ExecutedTwice: &zero, Lost: &zero,
		},
	}
}

func TestText(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	last := reportAt(at.Add(-72 * time.Hour))
	last.RecoveredMS = nil
	const want = `Drill crash: the server that calls go to crashes
  http://127.0.0.1:10000/mcp, 2026-03-01 09:30:00 UTC
  16 callers made 100 calls a second. a was killed; after 10.1 s it was started again.

                                                                this run    last run  (3 days ago)
  the failure was noticed after                                     8 ms        8 ms  by Envoy's [31m health check
  a call made after it was answered well after                     12 ms       12 ms
  all was as before, after the mending, within                   1203 ms       never
  99 of 100 good answers came within, before it                     9 ms        9 ms
    and while it lasted                                            11 ms       11 ms
  the slowest call that may run twice took, while it lasted        40 ms       40 ms
  calls made                                                        1500        1500
    answered well                                                   1496        1496  (3 of them after more than one try)
    degraded: an older or another answer, marked as such               1           1  stale: 1
    failed                                                             3           3
      service_unavailable                                              2           2
      timeout                                                          1           1
    failed and may run twice                                           0           0  (none should)
  calls that must not run twice                                      150         150
    failed: "not executed"                                             0           0
    failed: "outcome unknown"                                          3           3  (they were under way when it broke)
    ran twice, by the servers' journals                                0           0  (must be 0)

As promised: no call failed that may run twice, and none ran twice that must not.
`
	if got := reportAt(at).Text(last, at); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
	broken := reportAt(at)
	broken.Broken, broken.Failures = []string{"it was aborted"}, []string{"get: down\nall of it"}
	got := broken.Text(nil, at)
	if strings.Contains(got, "last run") || !strings.Contains(got, "Not as promised: it was aborted.\n") || !strings.Contains(got, "  failed: get: down all of it\n") {
		t.Errorf("it says\n%s", got)
	}
}

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	if kept, err := Kept(dir); err != nil || len(kept) != 0 {
		t.Errorf("no folder: %v, %v", kept, err)
	}
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	old, other, newest := reportAt(at), reportAt(at.Add(time.Hour)), reportAt(at.Add(24*time.Hour))
	other.Endpoint = "http://elsewhere/mcp"
	for _, r := range []*Report{newest, old, other} {
		if _, err := Keep(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := Kept(dir)
	if err == nil || !strings.Contains(err.Error(), "notes.json") || len(kept) != 3 {
		t.Fatalf("%d kept, %v", len(kept), err)
	}
	if !reflect.DeepEqual(kept[0], newest) || !reflect.DeepEqual(kept[2], old) {
		t.Errorf("%+v", kept[0])
	}
	if got := Last(kept, Crash, other.Endpoint); got != kept[1] {
		t.Errorf("the last there is %+v", got)
	}
	if got := Last(kept, Hang, other.Endpoint); got != nil {
		t.Errorf("the last of another drill is %+v", got)
	}
}
