// Package health says how a program is: by named checks of what it needs, in three
// states, over HTTP.
package health

import (
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Paths of a program's pages. Health is about the program: what it waits for is no
// reason to start it again, so nothing outside makes it unhealthy. Ready is about its use.
const (
	PathHealth = "/health"
	PathReady  = "/ready"
)

// State of a program, or of one thing that it needs.
type State string

const (
	// Healthy: status 200.
	Healthy State = "healthy"
	// Degraded: it does its work, but something is missing that somebody should see to. Status 429, which
	// probes must take as good: to stop using a degraded program makes matters worse.
	Degraded State = "degraded"
	// Unhealthy: status 503.
	Unhealthy State = "unhealthy"
)

// Code is the HTTP status of a state.
func (s State) Code() int {
	switch s {
	case Healthy:
		return http.StatusOK
	case Degraded:
		return http.StatusTooManyRequests
	case Unhealthy:
	}
	return http.StatusServiceUnavailable
}

// Usable says whether a program that answers with an HTTP status is to be used.
func Usable(code int) bool { return code == Healthy.Code() || code == Degraded.Code() }

// worse gives the worse of two states.
func worse(a, b State) State {
	for _, s := range []State{Unhealthy, Degraded} {
		if a == s || b == s {
			return s
		}
	}
	return Healthy
}

// Check is how one thing stands that a program needs.
type Check struct {
	// Name such as "policies" or "redis".
	Name  string `json:"name"`
	State State  `json:"status"`
	// Message says what is wrong; empty where nothing is.
	Message string `json:"message,omitempty"`
}

// Of makes a Check: healthy where it holds, else in a state, with a message.
func Of(name string, holds bool, otherwise State, message string) Check {
	if holds {
		return Check{Name: name, State: Healthy}
	}
	return Check{Name: name, State: otherwise, Message: message}
}

// Report is a page.
type Report struct {
	// Status is the worst of the checks'.
	Status State   `json:"status"`
	Checks []Check `json:"checks"`
}

// Ready sums checks up.
func Ready(checks []Check) Report {
	r := Report{Status: Healthy, Checks: checks}
	for _, c := range checks {
		r.Status = worse(r.Status, c.State)
	}
	return r
}

// Alive sums up for PathHealth: a program that can say so is never worse than degraded.
func Alive(checks []Check) Report {
	r := Ready(checks)
	if r.Status == Unhealthy {
		r.Status = Degraded
	}
	return r
}

// Mount serves both pages. checks is called for each request.
func Mount(mux *http.ServeMux, checks func() []Check) {
	for path, sum := range map[string]func([]Check) Report{PathHealth: Alive, PathReady: Ready} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			report := sum(checks())
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(report.Status.Code())
			// What fails now fails with the connection.
			_ = json.MarshalWrite(w, report, jsontext.WithIndent("  "))
		})
	}
}
