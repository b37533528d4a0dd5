// Package drill plays game days: under a steady load of MCP calls it breaks one thing of a
// running system, mends it again, and reports what callers saw. What is broken, and how, is the
// caller's: a Fault has the two functions.
package drill

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Kind is a drill.
type Kind struct {
	// Name as people type it.
	Name string
	// Says what is broken, as a sentence without its end.
	Says string
	// mayFail is how many calls in a thousand may fail, safe ones included.
	mayFail int
}

// Names of the drills.
const (
	RegionLoss       = "region-loss"
	Crash            = "crash"
	Hang             = "hang"
	Slow             = "slow"
	Errors5xx        = "5xx"
	MCPErrors        = "mcp-errors"
	BrokenSSE        = "broken-sse"
	Flapping         = "flapping"
	ControlPlaneLoss = "control-plane-loss"
	ExtprocLoss      = "extproc-loss"
	RedisLoss        = "redis-loss"
	ClockSkew        = "clock-skew"
)

// Kinds are all drills, in order of the documentation.
func Kinds() []Kind {
	return []Kind{
		{RegionLoss, "all servers of the region that calls go to are lost", 0},
		{Crash, "the server that calls go to crashes", 0},
		{Hang, "the server that calls go to takes connections and never answers", 0},
		{Slow, "the server that calls go to takes ten times as long", 0},
		{Errors5xx, "the server that calls go to answers every call with status 500", 0},
		{MCPErrors, "the server that calls go to answers every call with status 200 and an error inside", 0},
		{BrokenSSE, "the server that calls go to ends its event streams before they have said anything", 0},
		{Flapping, "the server that calls go to dies and comes back every two seconds", 0},
		{ControlPlaneLoss, "the control plane is lost", 0},
		{ExtprocLoss, "one of the external processors is lost", 1},
		{RedisLoss, "the Redis that the processors share answers no more", 0},
		{ClockSkew, "a processor's clock is wrong", 0},
	}
}

// Find returns the drill of that name.
func Find(name string) (Kind, bool) {
	i := slices.IndexFunc(Kinds(), func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return Kinds()[i], true
}

// Names of all drills with commas between.
func Names() string {
	var out []string
	for _, k := range Kinds() {
		out = append(out, k.Name)
	}
	return strings.Join(out, ", ")
}

// flapEvery is how long a flapping server is up, and down.
const flapEvery = 2 * time.Second

// Fault breaks something, and mends it.
type Fault struct {
	// Does says what Break does, as "primary-mumbai is killed"; Undoes what Mend does.
	Does, Undoes string
	// Break and Mend return when they have taken effect. Mend may be called where nothing is broken, or
	// half of it.
	Break, Mend func(ctx context.Context) error
	// BreakBy takes the place of Break where it is not nil, and is told what a call usually takes.
	BreakBy func(ctx context.Context, usual time.Duration) error
	// Noticed tells who of the system has found out, and is empty as long as nobody has, or when
	// all is well again. nil: nobody can be asked; what calls show has to do.
	Noticed func(ctx context.Context) (by string, err error)
}
