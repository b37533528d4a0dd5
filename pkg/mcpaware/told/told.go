package told

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Bounds; outcome.proto names them too.
const (
	maxLoads = 1024
	maxCalls = 1024
)

// Load is what an endpoint says of itself: shares from 0 to 1.
type Load struct {
	CPU, Memory       float32
	HasCPU, HasMemory bool
}

// End is how a call ended for its caller.
type End int

// Values of End.
const (
	Answered End = iota
	Degraded
	Failed
	ends
)

// Collector takes loads and ends of calls until they are drained. It is safe for concurrent use, and counting a call
// of a server that was counted before allocates nothing. The zero Collector is ready.
type Collector struct {
	mu    sync.Mutex
	loads map[endpoint]Load
	// calls by server.
	calls sync.Map
	// servers counts them.
	servers atomic.Int64
}

type endpoint struct{ server, address string }

type counts [ends]atomic.Uint32

// Say takes what an endpoint says of its load; the newest word counts.
func (c *Collector) Say(server, address string, l Load) {
	if server == "" || address == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loads == nil {
		c.loads = map[endpoint]Load{}
	}
	key := endpoint{server, address}
	if _, known := c.loads[key]; known || len(c.loads) < maxLoads {
		c.loads[key] = l
	}
}

// Ended counts a call.
func (c *Collector) Ended(server string, end End) {
	if server == "" || end < 0 || end >= ends {
		return
	}
	known, ok := c.calls.Load(server)
	if !ok {
		// Servers come from the configuration: they are few, and stay.
		if c.servers.Load() >= maxCalls {
			return
		}
		var loaded bool
		if known, loaded = c.calls.LoadOrStore(server, &counts{}); !loaded {
			c.servers.Add(1)
		}
	}
	if n, ok := known.(*counts); ok {
		n[end].Add(1)
	}
}

// Drain gives what came since the call before, in order of server and address.
func (c *Collector) Drain() ([]*outcomev1.Load, []*outcomev1.Calls) {
	c.mu.Lock()
	said := c.loads
	c.loads = nil
	c.mu.Unlock()
	loads := make([]*outcomev1.Load, 0, len(said))
	for key, l := range said {
		one := &outcomev1.Load{Server: key.server, Endpoint: key.address}
		if l.HasCPU {
			one.Cpu = &l.CPU
		}
		if l.HasMemory {
			one.Memory = &l.Memory
		}
		loads = append(loads, one)
	}
	slices.SortFunc(loads, func(a, b *outcomev1.Load) int {
		return cmp.Or(cmp.Compare(a.GetServer(), b.GetServer()), cmp.Compare(a.GetEndpoint(), b.GetEndpoint()))
	})
	var calls []*outcomev1.Calls
	c.calls.Range(func(key, value any) bool {
		name, _ := key.(string)
		n, ok := value.(*counts)
		if !ok {
			return true
		}
		one := &outcomev1.Calls{Server: name, Answered: n[Answered].Swap(0), Degraded: n[Degraded].Swap(0), Failed: n[Failed].Swap(0)}
		if one.GetAnswered()|one.GetDegraded()|one.GetFailed() != 0 {
			calls = append(calls, one)
		}
		return true
	})
	slices.SortFunc(calls, func(a, b *outcomev1.Calls) int { return cmp.Compare(a.GetServer(), b.GetServer()) })
	return loads, calls
}

// Join adds what could not be sent to what came since.
func Join(before, now *outcomev1.Summary) {
	sums := map[string]*outcomev1.Calls{}
	for _, c := range now.GetCalls() {
		sums[c.GetServer()] = c
	}
	for _, c := range before.GetCalls() {
		if sum := sums[c.GetServer()]; sum != nil {
			sum.Answered, sum.Degraded, sum.Failed = sum.GetAnswered()+c.GetAnswered(), sum.GetDegraded()+c.GetDegraded(), sum.GetFailed()+c.GetFailed()
		} else if len(now.GetCalls()) < maxCalls {
			now.Calls = append(now.Calls, c)
		}
	}
}
