package demo

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultMode is a way for a server to fail.
type FaultMode string

// Values of FaultMode.
const (
	// FaultNone: calls are answered as they should be.
	FaultNone FaultMode = "none"
	// FaultRPCError answers HTTP 200 with the JSON-RPC error -32603.
	FaultRPCError FaultMode = "rpc_error"
	// FaultIsError answers HTTP 200 with a tool result that has isError and the
	// structured content {"code": "internal_error"}.
	FaultIsError FaultMode = "is_error"
	// FaultHTTP500 answers status 500 with a line of text.
	FaultHTTP500 FaultMode = "http_500"
	// FaultHang answers nothing until the caller goes away.
	FaultHang FaultMode = "hang"
	// FaultSlow answers well, after Delay.
	FaultSlow FaultMode = "slow"
	// FaultEarlyEOF begins an answer with status 200 and ends it cleanly before
	// there is a whole message.
	FaultEarlyEOF FaultMode = "early_eof"
)

func faultModes() []FaultMode {
	return []FaultMode{FaultNone, FaultRPCError, FaultIsError, FaultHTTP500, FaultHang, FaultSlow, FaultEarlyEOF}
}

// Faults say how a server fails calls of its tools. The zero value does not.
type Faults struct {
	// Mode; empty: none.
	Mode FaultMode `json:"mode,omitzero"`
	// Share of the calls that fail, above 0 up to 1; 0: all of them. Which ones is
	// random, and the same in every run.
	Share float64 `json:"share,omitzero"`
	// Tools that fail; empty: all.
	Tools []string `json:"tools,omitzero"`
	// Delay before a failing call is answered, such as "800ms"; at most a minute.
	// Default 0s, for slow 1s.
	Delay string `json:"delay,omitzero"`
	// After lets the tool run before its call fails, so that the work is done and
	// the answer lost. Default: it fails instead of running.
	After bool `json:"after,omitzero"`
	// JSON makes the server answer with application/json bodies where it otherwise
	// answers with event streams; good answers too, and with mode none.
	JSON bool `json:"json,omitzero"`
}

const (
	maxFaultDelay    = time.Minute
	maxFaultTools    = 100
	defaultSlowDelay = time.Second
)

// Validate returns what is wrong with f, all of it.
func (f Faults) Validate() error {
	var errs []error
	if f.Mode != "" && !slices.Contains(faultModes(), f.Mode) {
		words := make([]string, 0, len(faultModes()))
		for _, m := range faultModes() {
			words = append(words, string(m))
		}
		errs = append(errs, fmt.Errorf("mode %q is not one of %s", f.Mode, strings.Join(words, ", ")))
	}
	if math.IsNaN(f.Share) || f.Share < 0 || f.Share > 1 {
		errs = append(errs, fmt.Errorf("share %v is not between 0 and 1", f.Share))
	}
	if len(f.Tools) > maxFaultTools {
		errs = append(errs, fmt.Errorf("%d tools are more than %d", len(f.Tools), maxFaultTools))
	}
	if f.After && f.Mode == FaultSlow {
		errs = append(errs, errors.New("after has no meaning with mode slow: a slow call is answered well"))
	}
	if _, err := f.delay(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (f Faults) delay() (time.Duration, error) {
	if f.Delay == "" {
		if f.Mode == FaultSlow {
			return defaultSlowDelay, nil
		}
		return 0, nil
	}
	d, err := time.ParseDuration(f.Delay)
	if err != nil {
		return 0, fmt.Errorf("delay: %w", err)
	}
	if d < 0 || d > maxFaultDelay {
		return 0, fmt.Errorf("delay %s is not between 0s and %s", d, maxFaultDelay)
	}
	return d, nil
}

// inMCP says that the fault is an MCP answer, made inside the MCP server so that
// it goes out as any of its answers does; the others break the HTTP exchange.
func (f Faults) inMCP() bool { return f.Mode == FaultRPCError || f.Mode == FaultIsError }

// faultPlan holds the Faults in force and draws the calls that fail; safe for concurrent use.
type faultPlan struct {
	mu     sync.Mutex
	faults Faults
	// version counts the changes.
	version int
	// random draws the calls that fail; nil before the first set.
	random *rand.Rand
}

const faultSeed = 42

func (p *faultPlan) current() Faults {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults
	f.Tools = slices.Clone(f.Tools)
	return f
}

// set validates f and puts it in force; the draws begin again. It gives the number of the change.
func (p *faultPlan) set(f Faults) (version int, err error) {
	if err := f.Validate(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(f)
	return p.version, nil
}

// takeBack ends the faults of a change where nobody has changed them since.
func (p *faultPlan) takeBack(version int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.version == version {
		p.put(Faults{})
	}
}

// put is set with the lock held.
func (p *faultPlan) put(f Faults) {
	p.version++
	if f.Mode == "" {
		f.Mode = FaultNone
	}
	p.faults, p.random = f, rand.New(rand.NewPCG(faultSeed, faultSeed)) //nolint:gosec // the same in every run
}

// draw takes a call of tool for the attachment point that asks (inside the MCP
// server or around it) and says whether and how it fails. Only the point that
// the mode belongs to draws.
func (p *faultPlan) draw(tool string, inMCP bool) (Faults, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.faults
	if f.Mode == "" || f.Mode == FaultNone || f.inMCP() != inMCP {
		return Faults{}, false
	}
	if len(f.Tools) > 0 && !slices.Contains(f.Tools, tool) {
		return Faults{}, false
	}
	return f, f.Share == 0 || p.random.Float64() < f.Share
}
