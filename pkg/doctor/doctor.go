// Package doctor looks at a set-up from outside in, as a caller meets it, and says what is
// wrong and what to do about it.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
)

// State of a Finding.
type State string

// States: a warning is something that works and should be seen to.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// Finding is the result of one check.
type Finding struct {
	// Check such as "gateway" or "servers".
	Check   string `json:"check"`
	State   State  `json:"state"`
	Message string `json:"message"`
	// Fix says what to do; empty where nothing is to be done.
	Fix string `json:"fix,omitempty"`
}

// Setup is what is looked at. Plane is required; what else is not given is left out, or said to be
// unknown.
type Setup struct {
	// Gateway is host:port where clients connect.
	Gateway string
	// Header goes with the MCP handshake: credentials, as clients send them.
	Header http.Header
	// Envoys are the admin interfaces that can be asked.
	Envoys []*envoyadmin.Client
	// Plane asks the control plane at PlaneAddress, and fills in what Envoys say of endpoints.
	Plane        func(context.Context) (*adminv1.StatusResponse, error)
	PlaneAddress string
	// Processors are HTTP addresses, host:port.
	Processors []string
	// Traces is the URL of Jaeger's query API; empty: none is known.
	Traces string
	// HTTP asks pages; Now is this machine's clock.
	HTTP *http.Client
	Now  func() time.Time
}

// examination is one look at a Setup.
type examination struct {
	*Setup
	found  func(Finding)
	status *adminv1.StatusResponse
	// skewed is by how much other programs' clocks differ.
	skewed map[string]time.Duration
	// pages of metrics by program.
	pages map[string]map[string]float64
}

// Examine looks at everything, and calls found with each Finding as it comes. It ends soon after ctx does.
func (s *Setup) Examine(ctx context.Context, found func(Finding)) {
	e := &examination{Setup: s, found: found, skewed: map[string]time.Duration{}, pages: map[string]map[string]float64{}}
	for _, step := range []func(context.Context){
		e.gateway, e.envoys, e.plane, e.nodes, e.processors, e.policies, e.servers, e.handshake, e.traces, e.clocks, e.files,
	} {
		if ctx.Err() != nil {
			e.fail("doctor", "it took too long: what is missing here was not looked at", "give it more time with --timeout")
			return
		}
		step(ctx)
	}
}

func (e *examination) ok(check, format string, args ...any) {
	e.found(Finding{Check: check, State: OK, Message: fmt.Sprintf(format, args...)})
}

func (e *examination) warn(check, message, fix string) {
	e.found(Finding{Check: check, State: Warn, Message: message, Fix: fix})
}

func (e *examination) fail(check, message, fix string) {
	e.found(Finding{Check: check, State: Fail, Message: message, Fix: fix})
}
