package model

import (
	"fmt"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// TLS is how an endpoint is reached by TLS. The fields are paths of files; Certificate and Key may
// be empty.
type TLS struct{ CA, ServerName, Certificate, Key string }

// Watched is what the control plane's own looks at one server need. It is the same for every region of Envoys.
type Watched struct {
	Name string
	// Path of the MCP endpoint.
	Path string
	// Localities in the order in which they are written.
	Localities []Locality
	Failover   Failover
	// ManualFailback keeps calls away from a region that they have left until an operator says otherwise.
	ManualFailback bool
	// PromotesItself: the control plane may make another region the first one.
	PromotesItself bool
	// TLS is nil where endpoints are reached in plain HTTP.
	TLS    *TLS
	Probes Probes
	Score  Score
	Tiers  Tiers
	Shift  Shift
	// Availability is what callers are promised, 0 to 1; 0 where nothing is.
	Availability float64
}

// Probes are the layers that are looked at; nil is one that is not.
type Probes struct {
	TCP, TLS, HTTP, Handshake, List *Probe
	Query                           *Query
	Metrics                         *Metrics
	// HealthPath is asked for by HTTP. AcceptMissing counts any 4xx but 429 as well: the path is a guess.
	HealthPath    string
	AcceptMissing bool
}

// Probe is the pace of one layer.
type Probe struct {
	Interval, Timeout            time.Duration
	Retries, Failures, Successes int
}

// Query is a call of a tool; its timeout is the latency that it may have.
type Query struct {
	Probe
	Tool string
	// Arguments are a JSON object.
	Arguments string
}

// Metrics is a Prometheus page.
type Metrics struct {
	Probe
	Path string
	// Port is 0 where the page is at the endpoint's own.
	Port uint32
	// CPU and Memory are names of metrics; Memory may be empty.
	CPU, Memory string
	Cores       int
	// MemoryLimit in bytes; 0 where it is not known.
	MemoryLimit int64
}

// Score is what endpoints are measured by. Weights are hundredths; error rates, CPU and memory shares from 0 to 1.
type Score struct {
	ResponseTimeWeight, ErrorRateWeight, ResourcesWeight, StalenessWeight int
	ResponseTimeTarget, ResponseTimeCritical                              time.Duration
	ErrorRateTarget, ErrorRateCritical                                    float64
	CPU, Memory                                                           float64
	Staleness                                                             time.Duration
}

// Tiers are what is done by how long an endpoint has been bad.
type Tiers struct {
	Disabled                               bool
	Shed, Eject, Promote, MinHold, MaxHold time.Duration
	Return                                 time.Duration
	// LowScore, PanicLimit and MaxEjected are hundredths. MaxEjected is negative where it depends on the other regions.
	LowScore, PanicLimit, MaxEjected int
}

// Shift is when callers leave a region that is slow.
type Shift struct {
	Disabled bool
	// Target is the p95 above which callers leave wherever another region does better; 0 where only a change counts.
	Target                 time.Duration
	Slowdown, MinimumCalls int
	// Callers that leave, in hundredths.
	Callers int
}

// Watch gives what there is to watch of cfg, in order of server. Addresses are remapped as Build
// remaps them. cfg must come from pkg/config without an error.
func Watch(cfg *config.Config, remap map[string]string) ([]Watched, error) {
	b := builder{opts: Options{Remap: remap}}
	out := make([]Watched, 0, len(cfg.Servers))
	for _, s := range cfg.Servers {
		out = append(out, b.watched(s))
	}
	if len(b.errs) > 0 {
		return nil, fmt.Errorf("resolving what is watched: %w", b.errs[0])
	}
	return out, nil
}

func (b *builder) watched(s config.MCPServer) Watched {
	spec := s.Spec
	out := Watched{
		Name: s.Metadata.Name, Path: spec.Path, TLS: upstreamTLS(spec.TLS), Failover: failover(spec.Failover.Mode),
		Localities: b.localities(s), Probes: probes(spec),
		ManualFailback: spec.Failover.Failback == config.Manual, PromotesItself: spec.Failover.Promote == config.Automatic,
		Score: Score{
			ResponseTimeWeight: int(*spec.Score.ResponseTime.Weight), ErrorRateWeight: int(*spec.Score.ErrorRate.Weight),
			ResourcesWeight: int(*spec.Score.Resources.Weight), StalenessWeight: int(*spec.Score.Staleness.Weight),
			ResponseTimeTarget: time.Duration(spec.Score.ResponseTime.Target), ResponseTimeCritical: time.Duration(spec.Score.ResponseTime.Critical),
			ErrorRateTarget: spec.Score.ErrorRate.Target.Ratio(), ErrorRateCritical: spec.Score.ErrorRate.Critical.Ratio(),
			CPU: float64(spec.Score.Resources.CPU) / 100, Memory: float64(spec.Score.Resources.Memory) / 100,
			Staleness: time.Duration(spec.Score.Staleness.Critical),
		},
		Tiers: Tiers{
			Disabled: spec.Tiers.Disabled,
			Shed:     time.Duration(spec.Tiers.Shed), Eject: time.Duration(spec.Tiers.Eject), Promote: time.Duration(spec.Tiers.Promote),
			MinHold: time.Duration(spec.Tiers.MinHold), MaxHold: time.Duration(spec.Tiers.MaxHold), Return: time.Duration(*spec.Tiers.Return),
			LowScore: int(*spec.Tiers.LowScore), PanicLimit: int(*spec.Tiers.PanicLimit), MaxEjected: -1,
		},
		Shift: Shift{
			Disabled: spec.Shift.Disabled, Slowdown: spec.Shift.Slowdown, MinimumCalls: spec.Shift.MinimumCalls, Callers: int(spec.Shift.Callers),
		},
	}
	if share := spec.Tiers.MaxEjected; share != nil {
		out.Tiers.MaxEjected = int(*share)
	}
	if spec.Failover.Prefer == config.PreferCost {
		out.Shift.Target = time.Duration(spec.LatencyTarget())
	}
	if spec.SLO != nil {
		out.Availability = spec.SLO.Availability.Ratio()
	}
	return out
}

func upstreamTLS(t *config.UpstreamTLS) *TLS {
	if t == nil {
		return nil
	}
	return &TLS{CA: t.CA, ServerName: t.ServerName, Certificate: t.Certificate, Key: t.Key}
}

func probes(spec config.MCPServerSpec) Probes {
	out := Probes{HealthPath: spec.HealthCheck.Path, AcceptMissing: spec.HealthCheck.Path == config.DefaultHealthPath}
	p := spec.Probes
	if p.Disabled {
		return out
	}
	out.TCP, out.Handshake, out.List = probe(p.TCP), probe(p.Handshake), probe(p.List)
	if spec.TLS != nil {
		out.TLS = probe(p.TLS)
	}
	if !spec.HealthCheck.Disabled {
		out.HTTP = probe(p.HTTP)
	}
	if q := p.Query; q != nil {
		out.Query = &Query{Tool: q.Tool, Arguments: q.Arguments, Probe: Probe{
			Interval: time.Duration(q.Interval), Timeout: time.Duration(q.MaxLatency), Retries: q.Retries, Failures: q.Failures, Successes: q.Successes,
		}}
	}
	if m := p.Metrics; m != nil {
		out.Metrics = &Metrics{
			Path: m.Path, Port: uint32(m.Port), CPU: m.CPU, Memory: m.Memory, Cores: m.Cores, MemoryLimit: int64(m.MemoryLimit), //nolint:gosec // 0 to 65535
			Probe: Probe{Interval: time.Duration(m.Interval), Timeout: time.Duration(m.Timeout), Failures: m.Failures, Successes: 1},
		}
	}
	return out
}

func probe(p config.Probe) *Probe {
	if p.Disabled {
		return nil
	}
	return &Probe{
		Interval: time.Duration(p.Interval), Timeout: time.Duration(p.Timeout), Retries: p.Retries, Failures: p.Failures, Successes: p.Successes,
	}
}
