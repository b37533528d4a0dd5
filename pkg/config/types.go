// Package config holds the resources that people write (Gateway, MCPServer,
// MCPRoute), their defaults, their strict decoding from YAML and their
// validation. A Config that this package returned without an error is whole:
// every reference in it resolves, every default is filled in.
package config

import "time"

// APIVersion is the only apiVersion accepted; a document may leave it out.
const APIVersion = "holdfast/v1alpha1"

// Kinds of resources.
const (
	KindGateway   = "Gateway"
	KindMCPServer = "MCPServer"
	KindMCPRoute  = "MCPRoute"
)

// Config is one whole, validated set of resources.
type Config struct {
	// Gateway is the only one, or the default one when no file has any.
	Gateway Gateway
	// Servers in order of name.
	Servers []MCPServer
	// Routes in order of name.
	Routes []MCPRoute
}

// Metadata names a resource. Names are unique within a kind.
type Metadata struct {
	// Name: 1 to 63 of [a-z0-9-], starting and ending with a letter or digit.
	Name string `yaml:"name" json:"name"`
}

// Gateway says where Envoy listens and whom it lets in.
type Gateway struct {
	// Metadata names the Gateway.
	Metadata Metadata `yaml:"metadata" json:"metadata"`
	// Spec is its body.
	Spec   GatewaySpec `yaml:"spec" json:"spec"`
	Source Position    `yaml:"-" json:"-"`
}

// GatewaySpec is the body of a Gateway.
type GatewaySpec struct {
	// Address on which Envoy listens, host:port with an IP host. An IPv6 host stands in
	// brackets. Default 127.0.0.1:10000.
	Address string `yaml:"address,omitempty" json:"address,omitempty"`
	// AllowedHosts are the Host header values served, at most 256, each a lower-case name or
	// IP without a port (any port matches), or "*" alone. On an address that is not
	// loopback the field is required (DNS rebinding, MCP transport security).
	// Default on a loopback address: localhost, 127.0.0.1, ::1.
	AllowedHosts []string `yaml:"allowedHosts,omitempty" json:"allowedHosts,omitempty"`
	// AllowedOrigins are the Origin header values served, at most 512, each scheme://host with
	// an optional port, where an absent port matches any; or "*" alone. A request without an Origin
	// is served. Required where allowedHosts is "*". Default: http and https of every allowed host.
	AllowedOrigins []string `yaml:"allowedOrigins,omitempty" json:"allowedOrigins,omitempty"`
	// MaxBodyBytes is the largest request body, 1KiB to 4MiB, the limit of the MCP SDKs.
	// Default 4MiB.
	MaxBodyBytes ByteSize `yaml:"maxBodyBytes,omitempty" json:"maxBodyBytes,omitempty"`
	// PrincipalHeader is the request header, in lower case, by whose value callers are told apart; where a request has
	// none, the client's address counts (of an IPv6 address the first 64 bits). "none" goes by addresses alone. Nobody
	// has verified the header: a caller who changes it with each request is a new one each time, unless the servers refuse
	// that. Default authorization.
	PrincipalHeader string `yaml:"principalHeader,omitempty" json:"principalHeader,omitempty"`
	// TrustedProxies are address ranges such as 10.0.0.0/8, at most 64: in x-forwarded-for the last address that is
	// in none of them is the client's. Default: none, the client's address is the one that connects.
	TrustedProxies []string `yaml:"trustedProxies,omitempty" json:"trustedProxies,omitempty"`
	// RateLimits bound the requests of all routes together, at most 16. They and those of routes are not for initialize,
	// server/discover, ping, notifications and event streams. Default: none.
	RateLimits []RateLimit `yaml:"rateLimits,omitempty" json:"rateLimits,omitempty"`
	// Processors are the addresses of the extproc instances, unix:///path or
	// host:port with an IP host, at most 16. Default: those given to the control plane on its command line.
	Processors []string `yaml:"processors,omitempty" json:"processors,omitempty"`
	// Telemetry says where traces of calls go.
	Telemetry Telemetry `yaml:"telemetry,omitempty" json:"telemetry,omitempty"`
}

// Telemetry says what is told of calls, and to whom.
type Telemetry struct {
	// Traces of calls, which Envoy and the processors send. Default: those given to the control plane on its command line, else none.
	Traces *Traces `yaml:"traces,omitempty" json:"traces,omitempty"`
}

// Traces says where spans go, by the OpenTelemetry protocol (OTLP), and of which calls. What a
// receiver does not take is dropped and counted; no call waits for it.
type Traces struct {
	// Address of a receiver, such as a collector or Jaeger, host:port with an IP host; it is reached without TLS.
	Address string `yaml:"address" json:"address"`
	// Protocol of the receiver. Default grpc.
	Protocol TraceProtocol `yaml:"protocol,omitempty" json:"protocol,omitempty"`
	// Ratio of the traces that begin here that are kept, 0% to 100%. Default 1%.
	Ratio *Percent `yaml:"ratio,omitempty" json:"ratio,omitempty"` // a pointer: 0% differs from nothing written
	// Parent: a call whose caller sends a trace context is traced where the caller traces it; off goes by the ratio for
	// those calls too. Default on.
	Parent Switch `yaml:"parent,omitempty" json:"parent,omitempty"`
	// Failures keeps the processors' spans of calls that failed, were degraded, were refused or took more than one
	// try, whatever the ratio says. Default on.
	Failures Switch `yaml:"failures,omitempty" json:"failures,omitempty"`
}

// TraceProtocol is how spans are sent.
type TraceProtocol string

const (
	// TraceGRPC is OTLP over gRPC, usually on port 4317. The default.
	TraceGRPC TraceProtocol = "grpc"
	// TraceHTTP is OTLP over HTTP with protobuf bodies, usually on port 4318, path /v1/traces.
	TraceHTTP TraceProtocol = "http"
)

// MCPServer is one logical MCP server with endpoints in any number of regions.
type MCPServer struct {
	// Metadata names the MCPServer.
	Metadata Metadata `yaml:"metadata" json:"metadata"`
	// Spec is its body.
	Spec   MCPServerSpec `yaml:"spec" json:"spec"`
	Source Position      `yaml:"-" json:"-"`
}

// MCPServerSpec is the body of an MCPServer.
type MCPServerSpec struct {
	// Path of the MCP endpoint on the server: absolute, at most 256 bytes, without empty or dot
	// segments, query, fragment or percent-encoding. Default /mcp.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Regions in failover order; at least one, at most 16.
	Regions []Region `yaml:"regions" json:"regions"`
	// Failover says how the regions share the calls.
	Failover Failover `yaml:"failover,omitempty" json:"failover,omitempty"`
	// HealthCheck is Envoy's active check of every endpoint.
	HealthCheck HealthCheck `yaml:"healthCheck,omitempty" json:"healthCheck,omitempty"`
	// ConnectTimeout to an endpoint, 1ms to 30s. Default 1s.
	ConnectTimeout Duration `yaml:"connectTimeout,omitempty" json:"connectTimeout,omitempty"`
	// Sessions says what becomes of a session whose endpoint is lost. "end": its client is told that it is gone.
	// "reinitialize": it is opened again on another endpoint, with the client's own initialize, log level and
	// subscriptions, and the client notices nothing; for servers that keep nothing else in a session. Default end.
	Sessions SessionLoss `yaml:"sessions,omitempty" json:"sessions,omitempty"`
	// SessionPrincipal is the request header, in lower case, whose value a session is bound to: a session that was
	// opened with it is only found with the same value. "none" binds no session, which suits callers whose credentials
	// change while their session lasts. Default authorization.
	SessionPrincipal string `yaml:"sessionPrincipal,omitempty" json:"sessionPrincipal,omitempty"`
	// SessionMaxAge is how old a session may get before its id is no longer known, 1m to 30d. Default 7d.
	SessionMaxAge Duration `yaml:"sessionMaxAge,omitempty" json:"sessionMaxAge,omitempty"`
	// Outlier says when an endpoint that fails is left out for a while.
	Outlier Outlier `yaml:"outlier,omitempty" json:"outlier,omitempty"`
	// RetryBudget bounds what retries may add to the load of the server.
	RetryBudget RetryBudget `yaml:"retryBudget,omitempty" json:"retryBudget,omitempty"`
	// Concurrency bounds the requests that the server works on at a time, over all routes and regions.
	// Not counted are initialize, server/discover, ping, notifications, responses and event streams. Default: no bound.
	Concurrency *Concurrency `yaml:"concurrency,omitempty" json:"concurrency,omitempty"`
	// VerifiesHeaders says that the server compares the headers Mcp-Method and Mcp-Name with the body and refuses what
	// differs (error -32020), as revision 2026-07-28 asks of it. Then tools/call bodies above 64KiB go to it without being read:
	// faster, never repeated once they were sent, and only where no rule looks into arguments. Each processor tries
	// it out on every endpoint, and reads all bodies for as long as one of them does not. Default false.
	VerifiesHeaders bool `yaml:"verifiesHeaders,omitempty" json:"verifiesHeaders,omitempty"`
	// Breaker says when the calls of one tool leave a region where that tool is broken.
	Breaker Breaker `yaml:"breaker,omitempty" json:"breaker,omitempty"`
	// SLO is what the server's callers are promised. It changes no call: the metrics show it, and the alerts compare with
	// it what callers get. Default: nothing is promised, and nobody is woken.
	SLO *SLO `yaml:"slo,omitempty" json:"slo,omitempty"`
}

// SLO is what callers of a server are promised: at least one of its fields.
type SLO struct {
	// Availability is the share of calls over 30 days that end with an answer, be it a remembered one: 50% to 99.999%.
	// Default: none is promised.
	Availability Objective `yaml:"availability,omitempty" json:"availability,omitempty"`
	// P95 is the time in which the answers to 95 of 100 calls begin, 1ms to 10m. Default: none is promised.
	P95 Duration `yaml:"p95,omitempty" json:"p95,omitempty"`
}

// Breaker configures what happens to a tool that is broken in a region while its neighbours work:
// its calls go to the other regions, or are refused where it is broken in all of them, until
// trial calls succeed again.
type Breaker struct {
	// Failures in a row that open a breaker, 2 to 1000; so many more failures than answers in ten
	// seconds do too, and half as many in a row that take as long. Default 10.
	Failures int `yaml:"failures,omitempty" json:"failures,omitempty"`
	// OpenFor is how long a breaker stays open before a call tries the region again, 100ms to 1h.
	// Each further opening lasts twice as long, give or take a fifth. Default 5s.
	OpenFor Duration `yaml:"openFor,omitempty" json:"openFor,omitempty"`
	// MaxOpenFor that the time grows to, openFor to 1h. Default 1m, or openFor where that is longer.
	MaxOpenFor Duration `yaml:"maxOpenFor,omitempty" json:"maxOpenFor,omitempty"`
	// Disabled keeps the breakers of all tools closed. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}

// Outlier configures Envoy's outlier detection: an endpoint whose answers fail gets no calls
// for a time that grows while it goes on failing.
type Outlier struct {
	// ConsecutiveFailures in a row eject an endpoint, 1 to 1000; any good answer starts the count
	// anew. Failed answers and broken connections are counted apart. Default 5.
	ConsecutiveFailures int `yaml:"consecutiveFailures,omitempty" json:"consecutiveFailures,omitempty"`
	// FailurePercentage of an endpoint's answers within an interval that ejects it, 1% to 100%. Default 20%.
	FailurePercentage Percent `yaml:"failurePercentage,omitempty" json:"failurePercentage,omitempty"`
	// MinimumCalls within an interval before the percentage counts, 1 to 100000. Default 10.
	MinimumCalls int `yaml:"minimumCalls,omitempty" json:"minimumCalls,omitempty"`
	// Interval over which the percentage is taken, and at the end of which endpoints return, 100ms to 5m. Default 2s.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// EjectionTime of the first ejection, 100ms to 1h. Each further one lasts that much longer than the one before;
	// each interval in which the endpoint stays in service takes one step back. Default 3s.
	EjectionTime Duration `yaml:"ejectionTime,omitempty" json:"ejectionTime,omitempty"`
	// MaxEjectionTime that ejections grow to, ejectionTime to 1d. Default 1m, or the ejectionTime where that is longer.
	MaxEjectionTime Duration `yaml:"maxEjectionTime,omitempty" json:"maxEjectionTime,omitempty"`
	// MaxEjected is the share of the endpoints, of all regions together, that may be ejected at the same time, 0% to 100%.
	// Default: all but one, so that the last one always gets calls.
	MaxEjected *Percent `yaml:"maxEjected,omitempty" json:"maxEjected,omitempty"` // a pointer: 0% differs from nothing written
}

// RetryBudget bounds the retries of a server's calls in any ten seconds. Beyond it safe calls are
// tried once, apart from tries that provably never reached an endpoint.
type RetryBudget struct {
	// Ratio of retries to calls, 0% to 100%; each tool rule has this share of its own calls. Default 20%.
	Ratio *Percent `yaml:"ratio,omitempty" json:"ratio,omitempty"` // a pointer: 0% differs from nothing written
	// Floor is how many retries are allowed on top of the ratio, 0 to 100000, for all calls of the server together. Default 100.
	Floor *int `yaml:"floor,omitempty" json:"floor,omitempty"` // a pointer: 0 differs from nothing written
}

// SessionLoss is the value of MCPServerSpec.Sessions.
type SessionLoss string

// Values of SessionLoss.
const (
	// SessionsEnd with their endpoint.
	SessionsEnd SessionLoss = "end"
	// SessionsReinitialize on another endpoint.
	SessionsReinitialize SessionLoss = "reinitialize"
)

// SessionUnbound is the value of MCPServerSpec.SessionPrincipal that binds no session.
const SessionUnbound = "none"

// Region is a group of endpoints that fail together.
type Region struct {
	// Name as in Envoy's locality.region, such as asia-south1; unique in its server. 1 to 63 of
	// [a-z0-9-], starting and ending with a letter or digit.
	Name string `yaml:"name" json:"name"`
	// Endpoints of the server in this region; at least one, at most 256.
	Endpoints []Endpoint `yaml:"endpoints" json:"endpoints"`
}

// Endpoint is one address of a server.
type Endpoint struct {
	// Name for people, unique in its server; 1 to 160 of [a-z0-9-], starting and ending with a
	// letter or digit. Default <server>-<region>-<index>, where the first index is 0.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// Address host:port with an IP host, as Envoy reports it; unique in its server. Host names are not looked up.
	Address string `yaml:"address" json:"address"`
}

// FailoverMode says how regions share calls.
type FailoverMode string

const (
	// ActivePassive sends all calls to the first region that is up, in written order. The default.
	ActivePassive FailoverMode = "activePassive"
	// ActiveActive spreads calls over all regions that are up.
	ActiveActive FailoverMode = "activeActive"
	// Nearest puts the region of the Envoy that routes first, the others in written order.
	Nearest FailoverMode = "nearest"
)

// Failover configures what happens between regions.
type Failover struct {
	// Mode: "activePassive" sends all calls to the first region that is up, in written order;
	// "activeActive" spreads them over all regions that are up; "nearest" puts the region of the
	// Envoy that routes first, the others in written order. Default activePassive.
	Mode FailoverMode `yaml:"mode,omitempty" json:"mode,omitempty"`
}

// HealthCheck configures Envoy's active HTTP health check.
type HealthCheck struct {
	// Path asked for. With the default, any 4xx answer counts as alive
	// too, since the server then just has no such page. Default /health.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Interval between checks, 100ms to 5m. Default 1s.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// Timeout of one check, 10ms to the interval. Default 500ms, or the interval where that is shorter.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// Disabled turns active checks off; outlier detection stays. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}

// MCPRoute is one MCP endpoint for agents: a path, and which server answers what.
type MCPRoute struct {
	// Metadata names the MCPRoute.
	Metadata Metadata `yaml:"metadata" json:"metadata"`
	// Spec is its body.
	Spec   MCPRouteSpec `yaml:"spec" json:"spec"`
	Source Position     `yaml:"-" json:"-"`
}

// MCPRouteSpec is the body of an MCPRoute.
type MCPRouteSpec struct {
	// Path that clients use, exact; unique among routes, written like the path of an MCPServer. Default /mcp.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Servers that tools may go to, at least one, at most 64; lists, sessions and everything unmatched go to the first.
	Servers []ServerRef `yaml:"servers" json:"servers"`
	// Tools are the rules for tools/call, first match wins; at most 2000. A rule that can never match,
	// since an earlier one takes every call that it does, is refused. Default: none, every call goes to the first server.
	Tools []ToolRule `yaml:"tools,omitempty" json:"tools,omitempty"`
	// Methods are the rules for all other requests but those that open event streams, first match wins; at most
	// 100. Default: none, every method has the route's timeouts.
	Methods []MethodRule `yaml:"methods,omitempty" json:"methods,omitempty"`
	// Timeout to the first whole message of an answer where no rule says
	// otherwise, 1ms to maxTimeout. Default 60s, or maxTimeout where that is shorter.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// IdleTimeout is the longest silence between two pieces of an answer after its first whole message,
	// where no rule says otherwise, 1ms to 1d. Answers may go on for any time in total. Default 5m.
	IdleTimeout Duration `yaml:"idleTimeout,omitempty" json:"idleTimeout,omitempty"`
	// MaxTimeout that the route and its rules may have, 1ms to 1h. Default 1h.
	MaxTimeout Duration `yaml:"maxTimeout,omitempty" json:"maxTimeout,omitempty"`
	// Retry of methods that are safe by the protocol (lists, reads, ping).
	Retry Retry `yaml:"retry,omitempty" json:"retry,omitempty"`
	// RateLimits bound the requests of this route, at most 16, besides those of the Gateway and of tool rules. Default: none.
	RateLimits []RateLimit `yaml:"rateLimits,omitempty" json:"rateLimits,omitempty"`
	// DiscoverLimit: what a caller asks server/discover beyond it is answered from memory, where there is an answer
	// that may be given; no such request is ever refused.
	DiscoverLimit DiscoverLimit `yaml:"discoverLimit,omitempty" json:"discoverLimit,omitempty"`
	// Errors: how failures of health are told. "mcp": HTTP 200 with an MCP answer;
	// "http": 503 or 504 with a JSON-RPC error. Default mcp.
	Errors ErrorStyle `yaml:"errors,omitempty" json:"errors,omitempty"`
	// Stamp: "on" adds _meta["holdfast/via"] to small answers; "off" leaves bodies alone. Default on.
	Stamp Switch `yaml:"stamp,omitempty" json:"stamp,omitempty"`
	// Degrade says what is answered when a server is down.
	Degrade RouteDegrade `yaml:"degrade,omitempty" json:"degrade,omitempty"`
	// OnProcessorFailure: "refuse" or "pass": what happens to requests when no extproc is reachable.
	// Passed requests go to the first server, unchecked and unlimited. Default refuse.
	OnProcessorFailure ProcessorFailure `yaml:"onProcessorFailure,omitempty" json:"onProcessorFailure,omitempty"`
}

// ServerRef names an MCPServer.
type ServerRef struct {
	// Name of an MCPServer.
	Name string `yaml:"name" json:"name"`
}

// ErrorStyle is the value of MCPRouteSpec.Errors.
type ErrorStyle string

// Values of ErrorStyle.
const (
	ErrorsMCP  ErrorStyle = "mcp"
	ErrorsHTTP ErrorStyle = "http"
)

// Switch is "on" or "off".
type Switch string

// Values of Switch.
const (
	On  Switch = "on"
	Off Switch = "off"
)

// ProcessorFailure is the value of MCPRouteSpec.OnProcessorFailure.
type ProcessorFailure string

// Values of ProcessorFailure.
const (
	Refuse ProcessorFailure = "refuse"
	Pass   ProcessorFailure = "pass"
)

// RouteDegrade configures degraded answers of a route.
type RouteDegrade struct {
	// StaleLists: the last good tools/list and server/discover answers.
	StaleLists StaleLists `yaml:"staleLists,omitempty" json:"staleLists,omitempty"`
}

// StaleLists configures the last good tools/list and server/discover answers.
type StaleLists struct {
	// MaxAge up to which a list is served while its server is down, 0s (never) to 7d;
	// that of server/discover, whose failure clients take for an old server, is served
	// for 24h at least. Default 24h.
	MaxAge *Duration `yaml:"maxAge,omitempty" json:"maxAge,omitempty"` // a pointer: 0s differs from nothing written
}

// ToolRule says what happens to the tools/call requests that it matches.
type ToolRule struct {
	// Match selects the calls; {} matches every tool.
	Match ToolMatch `yaml:"match" json:"match"`
	// To sends the call to another of the route's servers. Default: the first.
	To *ToolTarget `yaml:"to,omitempty" json:"to,omitempty"`
	// Safe is the operator's word that the tool may run twice: only then is a
	// call retried that an endpoint may have begun. Default false.
	Safe bool `yaml:"safe,omitempty" json:"safe,omitempty"`
	// Timeout to the first whole message of the answer, 1ms to the route's maxTimeout. Default: the route's.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// IdleTimeout after the first whole message, 1ms to 1d. Default: the route's.
	IdleTimeout Duration `yaml:"idleTimeout,omitempty" json:"idleTimeout,omitempty"`
	// Retry bounds the tries of a call. For a tool that is not safe, attempts bound only the tries of
	// calls provably unsent, and the one try that is sent may take the whole timeout.
	Retry Retry `yaml:"retry,omitempty" json:"retry,omitempty"`
	// Fallback names a tool of another server that answers when this one's server cannot. Default: none.
	Fallback *Fallback `yaml:"fallback,omitempty" json:"fallback,omitempty"`
	// Concurrency bounds the calls of this rule that are under way at a time, besides the server's
	// own bound. Default: no bound.
	Concurrency *Concurrency `yaml:"concurrency,omitempty" json:"concurrency,omitempty"`
	// Priority, 0 to 9: when there is not room for all, calls of a higher priority are served first and refused
	// last. Requests other than tools/call have 5. Default 5.
	Priority *int `yaml:"priority,omitempty" json:"priority,omitempty"` // a pointer: 0 differs from nothing written
	// Cost of a call, 1 to 100: it counts as so many requests for rate limits; and when there is not room for all, of those
	// with the lowest priority the cheapest are refused first. Default 1.
	Cost int `yaml:"cost,omitempty" json:"cost,omitempty"`
	// RateLimits bound the calls of this rule, at most 16, besides those of the route and the Gateway. Default: none.
	RateLimits []RateLimit `yaml:"rateLimits,omitempty" json:"rateLimits,omitempty"`
	// FailWhen: answers of which any passes one of these tests, at most 16, count as failures of the tool.
	// Default: none but those that MCP's own rules tell.
	FailWhen []AnswerMatch `yaml:"failWhen,omitempty" json:"failWhen,omitempty"`
	// OkWhen: answers that pass one of these tests, at most 16, do not count as failures, whatever they
	// look like; failWhen wins over it. Default: none.
	OkWhen []AnswerMatch `yaml:"okWhen,omitempty" json:"okWhen,omitempty"`
	Source Position      `yaml:"-" json:"-"`
}

// AnswerMatch tests a server's answer; everything that is written has to hold, and something has to be written.
type AnswerMatch struct {
	// Status is a list of HTTP statuses, at most 32, each 200 to 599, one of which the answer has.
	// 401, 403 and 429 have a meaning of their own and cannot be named. Default: any.
	Status []int `yaml:"status,omitempty" json:"status,omitempty"`
	// Pointer into the message (RFC 6901), beginning with /result or /error, such as
	// /result/structuredContent/state. With equals, in or regex. At most 256 bytes.
	Pointer string `yaml:"pointer,omitempty" json:"pointer,omitempty"`
	// Equals a scalar: string, number, boolean or null. Numbers compare by value.
	Equals *Scalar `yaml:"equals,omitempty" json:"equals,omitempty"`
	// In is a list of scalars, at most 256, one of which the value equals.
	In []Scalar `yaml:"in,omitempty" json:"in,omitempty"`
	// Regex in RE2 syntax that a string value matches whole. At most 256 bytes.
	Regex string `yaml:"regex,omitempty" json:"regex,omitempty"`
	// Message is a regular expression in RE2 syntax that is found anywhere in error.message, or in the first
	// text of the result's content. At most 256 bytes.
	Message string `yaml:"message,omitempty" json:"message,omitempty"`
}

// Fallback is a second provider of a tool. It gets a call when no region of the first can answer: all
// are down, its breakers are open or, for a tool that is safe, every try failed. A call that the first may have carried out
// is not sent to it, nor is one of a session, one that continues an earlier message, or one above 64KiB.
type Fallback struct {
	// Server is another of the route's servers.
	Server string `yaml:"server" json:"server"`
	// Tool as that server names it; at most 256 bytes.
	Tool string `yaml:"tool" json:"tool"`
	// Arguments of the second tool, made of those of the call; at most 32. Default: the same.
	Arguments []Move `yaml:"arguments,omitempty" json:"arguments,omitempty"`
	// Result that the caller gets, made of the second tool's structured content, or of its only text where that is a JSON
	// object; at most 32. Results above 64KiB are not mapped: the call fails. Default: the same.
	Result []Move `yaml:"result,omitempty" json:"result,omitempty"`
}

// Move takes a value from one place to another. A value that is not there is left out.
type Move struct {
	// From is a pointer (RFC 6901) to the value, such as /order/id. At most 256 bytes.
	From string `yaml:"from" json:"from"`
	// To is a pointer to where it goes, through members of objects only. At most 256 bytes.
	To string `yaml:"to" json:"to"`
}

// Concurrency bounds how many requests are under way at a time, and how many wait for their turn.
// The processors share the numbers.
type Concurrency struct {
	// Limit of requests under way, 1 to 100000.
	Limit int `yaml:"limit" json:"limit"`
	// Queue of requests that wait, 0 to 10000. Beyond it the one of least worth is refused at once. Default 0 for none.
	Queue int `yaml:"queue,omitempty" json:"queue,omitempty"`
	// MaxWait of one request, 1ms to 30s. One that would wait longer, or so long that its timeout could not be kept, is
	// refused at once. Default 1s where there is a queue.
	MaxWait Duration `yaml:"maxWait,omitempty" json:"maxWait,omitempty"`
}

// RateLimit bounds the requests in any time of a given length, wherever that begins. Without a Redis
// each processor keeps its share of the limit, the limit divided by the number of processors; with one
// they count together. A request that any limit refuses counts for none.
type RateLimit struct {
	// Requests that are admitted in any window, 1 to 10000000. A call counts as many as its rule's cost.
	Requests int `yaml:"requests" json:"requests"`
	// Per is the length of the window, 100ms to 31d.
	Per Duration `yaml:"per" json:"per"`
	// By is what is counted by itself, at most 8 of: principal (the caller), session, server, tool, or a JSON pointer into
	// the arguments (RFC 6901), such as /order/id, whose values are only kept hashed. Requests without a session
	// are counted by principal; a limit by tool or arguments is for tools/call alone. Default: all requests together.
	By []string `yaml:"by,omitempty" json:"by,omitempty"`
	// Shadow limits count and show what they would refuse, and refuse nothing. Default false.
	Shadow bool `yaml:"shadow,omitempty" json:"shadow,omitempty"`
}

// DiscoverLimit is a rate limit of one caller.
type DiscoverLimit struct {
	// Requests in any window, 1 to 10000000. Default 100.
	Requests int `yaml:"requests,omitempty" json:"requests,omitempty"`
	// Per is the length of the window, 100ms to 31d. Default 1s.
	Per Duration `yaml:"per,omitempty" json:"per,omitempty"`
}

// ToolMatch selects calls; Name and Regex exclude each other, neither matches every tool.
type ToolMatch struct {
	// Name, exact or a glob: * for any run of characters, ? for one. At most 256 bytes. Default: every name.
	Name string `yaml:"name,omitempty" json:"name,omitempty"`
	// Regex in RE2 syntax, must match the whole name. At most 256 bytes. Default: every name.
	Regex string `yaml:"regex,omitempty" json:"regex,omitempty"`
	// Arguments are tests that must all hold, at most 16. Default: none.
	Arguments []ArgumentMatch `yaml:"arguments,omitempty" json:"arguments,omitempty"`
}

// ArgumentMatch tests one value of the call's arguments; exactly one of Equals, In, Regex is set.
type ArgumentMatch struct {
	// Pointer into params.arguments (RFC 6901), such as /order/id. At most 256 bytes.
	Pointer string `yaml:"pointer" json:"pointer"`
	// Equals a scalar: string, number, boolean or null. Numbers compare by value.
	Equals *Scalar `yaml:"equals,omitempty" json:"equals,omitempty"`
	// In is a list of scalars, at most 256, one of which the value equals.
	In []Scalar `yaml:"in,omitempty" json:"in,omitempty"`
	// Regex in RE2 syntax that a string value matches whole. At most 256 bytes.
	Regex string `yaml:"regex,omitempty" json:"regex,omitempty"`
}

// MethodRule gives the requests of some methods timeouts and tries of their own.
type MethodRule struct {
	// Match selects the methods.
	Match MethodMatch `yaml:"match" json:"match"`
	// Timeout to the first whole message of the answer, 1ms to the route's maxTimeout. Default: the route's.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// IdleTimeout after the first whole message, 1ms to 1d. Default: the route's.
	IdleTimeout Duration `yaml:"idleTimeout,omitempty" json:"idleTimeout,omitempty"`
	// Retry bounds the tries of a request. For methods that are not safe by the protocol, attempts bound only the
	// tries of requests provably unsent.
	Retry  Retry    `yaml:"retry,omitempty" json:"retry,omitempty"`
	Source Position `yaml:"-" json:"-"`
}

// MethodMatch selects methods.
type MethodMatch struct {
	// Name of the method, exact or a glob: * for any run of characters, ? for one. At most 256 bytes. Not tools/call, which has tool rules.
	Name string `yaml:"name" json:"name"`
}

// ToolTarget names where a matched call goes.
type ToolTarget struct {
	// Server is one of the route's servers.
	Server string `yaml:"server" json:"server"`
}

// Retry bounds how often and how long a call is tried.
//
// The tries have to fit: attempts × perTryTimeout and the back-offs between them are at most the timeout.
type Retry struct {
	// Attempts in total, the first included, 1 to 10. Default 3, or as many of
	// perTryTimeout as fit into the timeout.
	Attempts int `yaml:"attempts,omitempty" json:"attempts,omitempty"`
	// PerTryTimeout to the first whole message of one try, 1ms to the timeout.
	// Default: what the back-offs leave of the timeout ÷ attempts.
	PerTryTimeout Duration `yaml:"perTryTimeout,omitempty" json:"perTryTimeout,omitempty"`
	// BackOff before each further try.
	BackOff BackOff `yaml:"backOff,omitempty" json:"backOff,omitempty"`
}

// BackOff is the wait before a retry: random, each whole millisecond below the limit alike. The limit is base for the first retry
// and twice the last one for each further retry, up to max.
type BackOff struct {
	// Base limit, 1ms to max. Default 5ms, or max or what the tries leave of the timeout where that is less.
	Base Duration `yaml:"base,omitempty" json:"base,omitempty"`
	// Max limit, 1ms to 1m. Default 250ms, or the base where that is longer.
	Max Duration `yaml:"max,omitempty" json:"max,omitempty"`
}

// Duration is a time.Duration written like 800ms, 2s, 1.5s, 1h30m or 7d: units d, h, m, s
// and ms, the larger first. The smallest step is 1ms.
type Duration time.Duration

// ByteSize is a number of bytes written like 4096, 64KiB or 4MiB.
type ByteSize int64

// Percent is a whole number of hundredths written like 20%.
type Percent int

// Objective is a share written like 99.9%, with at most three digits after the point; it counts
// thousandths of a hundredth.
type Objective int

// Scalar is a YAML scalar kept as compact JSON, so that 1, "1" and true stay apart. Numbers are
// written as in JSON, text of at most 1024 bytes in quotes where YAML would read something else.
type Scalar struct {
	JSON string
}

// Position is where something was written. The zero Position means a default.
type Position struct {
	File   string
	Line   int
	Column int
}
