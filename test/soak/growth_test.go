package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// measurement is what one process holds, by the names below.
type measurement map[string]float64

// What is measured of each process.
const (
	residentBytes  = "resident bytes"
	allocatedBytes = "allocated bytes"
	goroutines     = "goroutines"
	openFiles      = "open files"
	connections    = "connections of clients"
)

// sample is one measurement of each process, by its name.
type sample map[string]measurement

func measure(t *testing.T, bed *testbed.Bed) sample {
	t.Helper()
	out := sample{testbed.Envoy: {
		allocatedBytes: float64(bed.Stat("server.memory_allocated")),
		connections:    float64(bed.Stat("http.holdfast.downstream_cx_active")),
	}}
	for name, address := range map[string]string{
		testbed.XDS: bed.XDSAdmin, testbed.Extproc1: bed.Addr(testbed.Extproc1), testbed.Extproc2: bed.Addr(testbed.Extproc2),
	} {
		page, err := bed.Metrics(address)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = measurement{allocatedBytes: gauge(t, page, "go_memstats_heap_alloc_bytes"), goroutines: gauge(t, page, "go_goroutines")}
	}
	for name, m := range out {
		dir := filepath.Join("/proc", strconv.Itoa(bed.Child(name).Status().PID))
		files, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			t.Fatal(err)
		}
		m[openFiles] = float64(len(files))
		m[residentBytes] = resident(t, dir)
	}
	return out
}

func gauge(t *testing.T, page, name string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no %s among the metrics", name)
	}
	value, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func resident(t *testing.T, dir string) float64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("no VmRSS in %s: %v", status, err)
	}
	return kib * 1024
}

// slack is by how much the last third may be above the first one: a share, and an
// amount that does not count.
func slack(what string) (share, amount float64) {
	switch what {
	case goroutines, openFiles, connections:
		return 0.25, 40
	case allocatedBytes:
		return 0.25, 8 << 20
	}
	// The collectors of both runtimes give memory back late.
	return 0.25, 24 << 20
}

// series are the samples of a run, in order.
type series []sample

// steady compares the last third with the first one, which the clients' start takes no
// part in: heaps by their lowest, as the collector leaves them, everything else by its median.
func (s series) steady(t *testing.T) {
	t.Helper()
	const least = 18
	if len(s) < least {
		t.Fatalf("%d measurements, want %d at least", len(s), least)
	}
	s = s[len(s)/10:]
	third := len(s) / 3
	for name, m := range s[0] {
		for what := range m {
			first, last := s[:third].typical(name, what), s[len(s)-third:].typical(name, what)
			share, amount := slack(what)
			t.Logf("%-10s %-15s first third %.0f, last third %.0f", name, what, first, last)
			if last > first*(1+share)+amount {
				t.Errorf("%s: %s grow from %.0f to %.0f", name, what, first, last)
			}
		}
	}
}

func (s series) typical(name, what string) float64 {
	values := make([]float64, len(s))
	for i, sample := range s {
		values[i] = sample[name][what]
	}
	slices.Sort(values)
	if what == allocatedBytes {
		return values[0]
	}
	return values[len(values)/2]
}

// asIdleAs says whether what belongs to connections and calls has gone with them.
func (s sample) asIdleAs(before sample) error {
	const few = 25
	for name, m := range s {
		for _, what := range []string{goroutines, openFiles, connections} {
			if name == testbed.Envoy && what == openFiles {
				// It keeps connections to servers for later calls.
				continue
			}
			if m[what] > before[name][what]+few {
				return fmt.Errorf("%s: %s were %.0f before the clients came, and are %.0f now", name, what, before[name][what], m[what])
			}
		}
	}
	return nil
}
