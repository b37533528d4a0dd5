// Package model is the configuration with every reference resolved, for one
// region of Envoys: plain structs, no protos. The snapshot builder turns it
// into xDS resources without looking anything up.
package model

import (
	"time"
)

// Model is everything that an Envoy of one region, and the processors beside it, need.
type Model struct {
	// Region of the Envoys that this model is for; may be empty.
	Region  string
	Gateway Gateway
	// Servers in order of name.
	Servers []Server
	// Routes in order of path.
	Routes []Route
}

// Gateway is the listener.
type Gateway struct {
	Host string
	Port uint32
	// AllowedHosts without ports; nil allows all.
	AllowedHosts []string
	// AllowedOrigins; nil allows all.
	AllowedOrigins []Origin
	MaxBodyBytes   uint32
	// ProcessorTimeout is how long Envoy waits for a processor's word on a request.
	ProcessorTimeout time.Duration
	// Processors are "unix:///path" or "host:port".
	Processors []string
	Callers    Callers
	// JWT is nil where no tokens are checked.
	JWT *JWT
	// Traces is nil where there are none.
	Traces *Traces
}

// Origin is one allowed Origin; Port "" matches any port.
type Origin struct {
	Scheme, Host, Port string
}

// Server is one MCPServer.
type Server struct {
	Name string
	// Path on the server.
	Path string
	// Priorities in the order in which this region's Envoys fail over; each holds at least one locality.
	Priorities [][]Locality
	// Regions in the order in which they are written. Where calls may not leave some jurisdictions, Residency
	// names those, and no other region is here or in Priorities.
	Regions, Residency []string
	// Failover says which region a call prefers.
	Failover       Failover
	HealthCheck    *HealthCheck
	ConnectTimeout time.Duration
	// TLS is nil where endpoints are reached in plain HTTP.
	TLS         *TLS
	Outlier     Outlier
	RetryBudget RetryBudget
	// Concurrency is nil where there is no bound.
	Concurrency *Concurrency
	Sessions    Sessions
	Breaker     Breaker
	// VerifiesHeaders: the server compares Mcp-Method and Mcp-Name with the body.
	VerifiesHeaders bool
}

// Failover says which region a call prefers.
type Failover int

// Values of Failover.
const (
	// InOrder: the first region.
	InOrder Failover = iota
	// Nearest: the Envoy's own, else the first.
	Nearest
	// Shared: none, all of them share the calls.
	Shared
)

// Outlier is Envoy's outlier detection.
type Outlier struct {
	ConsecutiveFailures, FailurePercent, MinimumCalls uint32
	Interval, EjectionTime, MaxEjectionTime           time.Duration
	// MaxEjectedPercent of all endpoints, those of every priority together.
	MaxEjectedPercent uint32
}

// RetryBudget bounds retries in any ten seconds: a share of the calls, and some on top.
type RetryBudget struct {
	Percent, Floor uint32
}

// Concurrency bounds the requests under way and those that wait, over all processors.
type Concurrency struct {
	Limit, Queue int
	MaxWait      time.Duration
}

// Breaker says when calls of a broken tool leave a region.
type Breaker struct {
	Disabled            bool
	Failures            uint32
	OpenFor, MaxOpenFor time.Duration
}

// Locality is the endpoints of one region.
type Locality struct {
	Region    string
	Endpoints []Endpoint
}

// Endpoint is one address of a server.
type Endpoint struct {
	Name string
	Host string
	Port uint32
}

// HealthCheck is Envoy's active HTTP check; nil where it is disabled.
type HealthCheck struct {
	Path     string
	Interval time.Duration
	Timeout  time.Duration
	// AcceptMissing counts any 4xx as alive: the path is a guess.
	AcceptMissing bool
}

// Route is one MCPRoute.
type Route struct {
	Name string
	Path string
	// Pages are paths that go to the first server unread.
	Pages []string
	// Servers named by any action, the default one first.
	Servers []string
	Rules   []Rule
	// Methods are rules for requests other than tools/call and streams.
	Methods []MethodRule
	// UnmatchedTool is for a tools/call that no rule matches.
	UnmatchedTool Action
	// SafeMethod is for methods that are safe by the protocol; SafeMethodOnce for
	// those of them that carry state which may be used only once.
	SafeMethod, SafeMethodOnce Action
	// OtherMethod is for every other POST.
	OtherMethod Action
	// Stream is for GET and for listening, ListenTasks for listening to tasks, Delete for DELETE.
	Stream, ListenTasks, Delete Action

	ErrorsHTTP      bool
	StampVia        bool
	StaleListMaxAge time.Duration
	// RateLimits of the Gateway and of the route.
	RateLimits    []RateLimit
	DiscoverLimit RateLimit
	// PassOnProcessorFailure lets unstamped requests through to the first server.
	PassOnProcessorFailure bool
	// Next is the same route, rule by rule, with each server that has a successor replaced by that one; nil where none has.
	Next *Route
	// Shares of callers that are with a server's successor, 0 to 100, by the server.
	Shares map[string]uint32
}

// Entire gives the route that unread messages take: Next, where all callers of the first server are with its successor.
func (r Route) Entire() Route {
	if r.Next != nil && r.Shares[r.Servers[0]] == 100 {
		return *r.Next
	}
	return r
}

// Rule is one tool rule.
type Rule struct {
	// ID is where the rule stands in its MCPRoute: "tools[0]".
	ID        string
	Glob      string
	Regex     string
	Arguments []ArgumentMatch
	// FailWhen and OkWhen are tests of answers.
	FailWhen, OkWhen []AnswerMatch
	Action           Action
	// Once replaces Action for a message that may never be sent twice.
	Once Action
	// Fallback is the second provider; nil where there is none.
	Fallback *Fallback
	// Cached and Static stand in for an answer that is missing; nil where nothing does.
	Cached *CachedResult
	Static *StaticAnswer
	// Concurrency of the rule's calls; nil where there is no bound.
	Concurrency *Concurrency
	// Priority is 0 to 9, Cost at least 1: who is refused when there is not room for all.
	Priority, Cost int
	// RateLimits of the rule's calls, besides those of the route.
	RateLimits []RateLimit
}

// Fallback is a tool of another server that answers when the first cannot.
type Fallback struct {
	// Server and Path of its MCP endpoint; FirstPath is that of the rule's own server.
	Server, Path, FirstPath, Tool string
	Arguments, Result             []Move
	// Action and Once stand for those of the rule, and go on to the second server; Direct
	// and DirectOnce go to the second server only.
	Action, Once, Direct, DirectOnce Action
}

// Move takes a value from one object to another, by RFC 6901 pointers.
type Move struct{ From, To string }

// MethodRule is one rule for methods.
type MethodRule struct {
	// ID is where the rule stands in its MCPRoute: "methods[0]".
	ID, Glob string
	// Safe is for methods that are safe by the protocol, Once for all others.
	Safe, Once Action
}

// ArgumentMatch tests one value; exactly one of In and Regex is set.
type ArgumentMatch struct {
	Pointer string
	// In holds compact JSON scalars.
	In    []string
	Regex string
}

// AnswerMatch tests an answer; everything that is set has to hold.
type AnswerMatch struct {
	Status []int
	// Pointer into the message, with In (compact JSON scalars) or Regex.
	Pointer string
	In      []string
	Regex   string
	// Message is a regular expression that is found in the answer's text.
	Message string
}

// Class says what Envoy may do with a try that failed.
type Class string

// Classes of actions.
const (
	// Safe calls may run twice: every failure is retried.
	Safe Class = "safe"
	// Unsafe calls are retried only when provably unsent.
	Unsafe Class = "unsafe"
	// Stream is a GET event stream: no timeout, body not looked at.
	Stream Class = "stream"
	// Listen is an event stream that is looked at: no timeout either.
	Listen Class = "listen"
)

// Streams says whether an answer may last, and be silent, for as long as it likes.
func (c Class) Streams() bool { return c == Stream || c == Listen }

// Action is what Envoy does with a message: one Envoy route.
type Action struct {
	// Stamp is the Envoy route's name: a hash of everything that the route does is
	// part of it, so that a route never changes its meaning under a stamp.
	Stamp         string
	Server        string
	Class         Class
	Timeout       time.Duration
	PerTryTimeout time.Duration
	// IdleTimeout after the first whole message.
	IdleTimeout time.Duration
	Attempts    int
	BackOff     BackOff
	// Second is the server whose regions come after those of Server; empty: none.
	Second string
	// Spread is how many tries are made among endpoints of the same priority; 0 counts as 1.
	Spread int
	// Unretried is the stamp of the action's twin; see Twin. Safe actions with more than one try have one.
	Unretried string
	// Reopen: a session that the endpoint does not know any more moves to another one.
	Reopen bool
}

// BackOff is the wait before a retry, random below a limit that doubles from Base to Max.
type BackOff struct {
	Base, Max time.Duration
}

// Twin is the same action for when the retry budget is spent: only tries that provably never
// reached a server are repeated. ok is false where the action is such a one itself.
func (a Action) Twin() (twin Action, ok bool) {
	if a.Unretried == "" {
		return Action{}, false
	}
	a.Stamp, a.Unretried, a.Class = a.Unretried, "", Unsafe
	return a, true
}
