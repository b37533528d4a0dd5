package model

// Health is what was measured and ordered about the endpoints of one server, laid over its
// configuration. The zero Health says that all is well. It must not be changed once it was
// handed on.
type Health struct {
	// Endpoints by name; one that is missing is healthy with full weight.
	Endpoints map[string]EndpointHealth
	// Shares by region: the hundredths of callers (0–100) that the edge sends away from it to
	// another region.
	Shares map[string]int
	// Regions are what operators ordered of whole regions, Draining or Unhealthy. Of two words on an
	// endpoint the worse one counts.
	Regions map[string]HealthState
}

// EndpointHealth is that of one endpoint.
type EndpointHealth struct {
	State HealthState
	// Weight is 1–100, the endpoint's part of the calls inside its region; 0 counts as 100.
	Weight int
	// Ordered by an operator: it holds even where no endpoint is left. What was only measured
	// never takes the last one out that operators left.
	Ordered bool
}

// HealthState says what calls an endpoint gets.
type HealthState int

// Values of HealthState, the better ones first.
const (
	// Healthy gets calls.
	Healthy HealthState = iota
	// Degraded gets calls where no healthy endpoint is left.
	Degraded
	// Draining gets those of its sessions only.
	Draining
	// Unhealthy gets none.
	Unhealthy
)

// String gives the state's name for people.
func (s HealthState) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Degraded:
		return "degraded"
	case Draining:
		return "draining"
	case Unhealthy:
		return "unhealthy"
	default:
		return "unknown"
	}
}

// MaxWeight is the weight of an endpoint that gets its full part.
const MaxWeight = 100

// Part is the endpoint's weight with its default.
func (e EndpointHealth) Part() int {
	if e.Weight <= 0 || e.Weight > MaxWeight {
		return MaxWeight
	}
	return e.Weight
}
