package told

import (
	"encoding/base64"
	"fmt"
	"sync"
	"testing"

	orcav3 "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func binary(t testing.TB, r *orcav3.OrcaLoadReport) string {
	t.Helper()
	data, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(data)
}

func TestParseLoad(t *testing.T) {
	both := binary(t, &orcav3.OrcaLoadReport{CpuUtilization: 0.5, MemUtilization: 0.25})
	for value, want := range map[string]Load{
		"TEXT cpu_utilization=0.5,mem_utilization=0.25":                      {0.5, 0.25, true, true},
		"TEXT named_metrics.foo=3, cpu_utilization=1.5":                      {1.5, 0, true, false},
		"TEXT cpu_utilization=0":                                             {0, 0, true, false},
		`JSON {"cpu_utilization": 0.5, "mem_utilization": 0.25}`:             {0.5, 0.25, true, true},
		`JSON {"cpu_utilization": 0.5, "something_new": {"a": 1}, "rps": 7}`: {0.5, 0, true, false},
		"BIN " + both: {0.5, 0.25, true, true},
		"":            {}, "TEXT": {}, "TEXT cpu_utilization=lots": {}, "TEXT cpu_utilization=NaN": {}, "TEXT cpu_utilization=-1": {},
		"TEXT cpu_utilization=1e300": {}, "JSON {": {}, "JSON []": {}, "BIN ???": {}, "BIN AAAA": {}, "XML <a/>": {}, "JSON {}": {},
	} {
		got, ok := ParseLoad(value)
		if got != want || ok != (want.HasCPU || want.HasMemory) {
			t.Errorf("%q: %+v, %v", value, got, ok)
		}
	}
	if got, ok := ParseLoadBinary(both); !ok || got != (Load{0.5, 0.25, true, true}) {
		t.Errorf("%+v, %v", got, ok)
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add("TEXT cpu_utilization=0.5,mem_utilization=0.25")
	f.Add(`JSON {"cpu_utilization": 0.5}`)
	f.Add("BIN " + binary(f, &orcav3.OrcaLoadReport{CpuUtilization: 0.5}))
	f.Fuzz(func(t *testing.T, value string) {
		l, ok := ParseLoad(value)
		if ok != (l.HasCPU || l.HasMemory) || !(l.CPU >= 0 && l.CPU <= 10) || !(l.Memory >= 0 && l.Memory <= 10) {
			t.Errorf("%q: %+v, %v", value, l, ok)
		}
	})
}

func TestCollector(t *testing.T) {
	var c Collector
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				c.Ended("orders", End(i%3))
				c.Say("orders", "127.0.0.1:7101", Load{CPU: 0.5, HasCPU: true})
			}
		})
	}
	all.Wait()
	c.Ended("", Failed)
	c.Ended("orders", ends)
	c.Say("", "x", Load{})
	loads, calls := c.Drain()
	if len(loads) != 1 || loads[0].GetCpu() != 0.5 || loads[0].Memory != nil {
		t.Errorf("loads %v", loads)
	}
	if len(calls) != 1 || calls[0].GetAnswered() != 2672 || calls[0].GetDegraded() != 2664 || calls[0].GetFailed() != 2664 {
		t.Errorf("calls %v", calls)
	}
	if loads, calls := c.Drain(); len(loads)+len(calls) != 0 {
		t.Errorf("drained twice: %v, %v", loads, calls)
	}
}

func TestBounds(t *testing.T) {
	var c Collector
	for i := range 5000 {
		c.Ended(fmt.Sprint(i), Failed)
		c.Say("orders", fmt.Sprint(i), Load{HasCPU: true})
	}
	if loads, calls := c.Drain(); len(loads) != maxLoads || len(calls) != maxCalls {
		t.Errorf("%d loads, %d calls", len(loads), len(calls))
	}
}

func TestJoin(t *testing.T) {
	before := &outcomev1.Summary{Calls: []*outcomev1.Calls{{Server: "a", Failed: 2}, {Server: "b", Answered: 1}}}
	now := &outcomev1.Summary{Calls: []*outcomev1.Calls{{Server: "a", Answered: 5}}}
	Join(before, now)
	if len(now.GetCalls()) != 2 || now.GetCalls()[0].GetFailed() != 2 || now.GetCalls()[0].GetAnswered() != 5 || now.GetCalls()[1].GetAnswered() != 1 {
		t.Errorf("%v", now)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var c Collector
	c.Ended("orders", Answered)
	if n := testing.AllocsPerRun(1000, func() { c.Ended("orders", Answered) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
