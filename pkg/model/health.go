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
}

// EndpointHealth is that of one endpoint.
type EndpointHealth struct {
	State HealthState
	// Weight is 1–100, the endpoint's part of the calls inside its region; 0 counts as 100.
	Weight int
}

// HealthState says what calls an endpoint gets.
type HealthState int

// Values of HealthState.
const (
	// Healthy gets calls.
	Healthy HealthState = iota
	// Degraded gets calls where no healthy endpoint is left.
	Degraded
	// Unhealthy gets none.
	Unhealthy
	// Draining gets those of its sessions only.
	Draining
)

// String gives the state's name for people.
func (s HealthState) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Degraded:
		return "degraded"
	case Unhealthy:
		return "unhealthy"
	case Draining:
		return "draining"
	default:
		return "unknown"
	}
}
