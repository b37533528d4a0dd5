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
	// JWT has Envoy check the callers' tokens. Default: none is checked; those of callers go on to the servers.
	JWT *JWT `yaml:"jwt,omitempty" json:"jwt,omitempty"`
	// PrincipalHeader is the request header, in lower case, by whose value callers are told apart that have no subject of a
	// checked token; where a request has none, the client's address counts (of an IPv6 address the first 64 bits). "none" goes by addresses alone. Nobody
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
	// ProcessorTimeout is how long Envoy waits for a processor's word on a request, 100ms to 10s; then it does
	// without that processor, and the call is answered with 503, or is tried again. Keep it below every perTryTimeout, or a hung processor
	// looks like hung endpoints; make it longer where machines are so busy that programs get no turn for that long. Default 500ms.
	ProcessorTimeout Duration `yaml:"processorTimeout,omitempty" json:"processorTimeout,omitempty"`
	// Telemetry says where traces of calls go.
	Telemetry Telemetry `yaml:"telemetry,omitempty" json:"telemetry,omitempty"`
}

// JWT says which tokens of callers are good: those in the Authorization header, after "Bearer ", that the issuer has
// signed, for one of the audiences, and that are within their time (by a minute). The subject of a good one tells its caller apart,
// in rate limits, sessions, tasks and breakers.
type JWT struct {
	// Issuer of the tokens, their iss.
	Issuer string `yaml:"issuer" json:"issuer"`
	// Audiences of which a token's aud must have one, at most 16: the names by which the issuer knows this gateway.
	Audiences []string `yaml:"audiences" json:"audiences"`
	// Keys that the issuer signs with.
	Keys JWTKeys `yaml:"keys" json:"keys"`
	// Missing says what becomes of requests without a token. One that is not good is refused in any case, with 401, or 403
	// for another audience. Default refuse.
	Missing MissingToken `yaml:"missing,omitempty" json:"missing,omitempty"`
	// Forward sends good tokens on to the servers. A server must not take one that was given for another audience, so this
	// is for servers that are known to the issuer by the same name. Default off.
	Forward Switch `yaml:"forward,omitempty" json:"forward,omitempty"`
}

// JWTKeys are a JSON Web Key Set (RFC 7517): one of file, inline and url.
type JWTKeys struct {
	// File with the set, an absolute path on each Envoy's machine. Envoy reads it when it is configured.
	File string `yaml:"file,omitempty" json:"file,omitempty"`
	// Inline is the set itself, as JSON.
	Inline string `yaml:"inline,omitempty" json:"inline,omitempty"`
	// URL where Envoy gets the set, again every five minutes: https, or http of a loopback address.
	URL string `yaml:"url,omitempty" json:"url,omitempty"`
	// CA is a file on each Envoy's machine with the certificates of authorities that the url is trusted by. Default
	// /etc/ssl/certs/ca-certificates.crt.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
}

// MissingToken is what becomes of requests without a token.
type MissingToken string

const (
	// MissingRefuse answers them with 401. The default.
	MissingRefuse MissingToken = "refuse"
	// MissingAllow lets them through; their callers are told apart as if nothing was checked.
	MissingAllow MissingToken = "allow"
)

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
	// Residency are the jurisdictions that calls of the server never leave, at most 16: regions with another label, or with
	// none, get no call at all, whatever becomes of the others. Default: calls may go to every region.
	Residency []string `yaml:"residency,omitempty" json:"residency,omitempty"`
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
	// TLS has the endpoints reached by TLS. Default: they are reached in plain HTTP.
	TLS *UpstreamTLS `yaml:"tls,omitempty" json:"tls,omitempty"`
	// Probes are the control plane's own looks at every endpoint.
	Probes Probes `yaml:"probes,omitempty" json:"probes,omitempty"`
	// Score says what the score of an endpoint is made of.
	Score Score `yaml:"score,omitempty" json:"score,omitempty"`
	// Tiers say what is done about an endpoint by how long it has been bad.
	Tiers Tiers `yaml:"tiers,omitempty" json:"tiers,omitempty"`
	// Shift sends callers away from a region in which their calls are slow.
	Shift Shift `yaml:"shift,omitempty" json:"shift,omitempty"`
	// Successor is the server that takes over from this one, such as its next version, wherever a route sends messages to this
	// one. "holdfast canary" and "holdfast bluegreen" write it. Default: none.
	Successor *Successor `yaml:"successor,omitempty" json:"successor,omitempty"`
}

// Successor is another MCPServer, and how much of the traffic it has. A caller is on one side, by a hash of its credentials or else
// its address, and goes over once while the share grows; sessions stay with the server that opened them.
type Successor struct {
	// Server is the name of the MCPServer. It has the same residency, and no successor of its own.
	Server string `yaml:"server" json:"server"`
	// Share of the callers whose messages go to it, 0% to 100%.
	Share *Percent `yaml:"share" json:"share"`
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
	// Labels of the region. Default: none.
	Labels RegionLabels `yaml:"labels,omitempty" json:"labels,omitempty"`
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

// Preference says what regions are ordered by.
type Preference string

// PreferCost puts the cheapest region first.
const PreferCost Preference = "cost"

// Initiative says who acts.
type Initiative string

const (
	// Automatic: the control plane does it by itself.
	Automatic Initiative = "automatic"
	// Manual: it waits for an operator.
	Manual Initiative = "manual"
)

// Failover configures what happens between regions.
type Failover struct {
	// Mode: "activePassive" sends all calls to the first region that is up, in written order;
	// "activeActive" spreads them over all regions that are up; "nearest" puts the region of the
	// Envoy that routes first, the others in written order. Default activePassive.
	Mode FailoverMode `yaml:"mode,omitempty" json:"mode,omitempty"`
	// Prefer puts regions in another order than the written one: "cost" the cheapest first (labels.cost), the written order among
	// equals; callers leave one while its p95 is over the latency target (slo.p95, else score.responseTime.target) and another
	// one's is not. With mode "nearest" it orders the others. Default: the written order.
	Prefer Preference `yaml:"prefer,omitempty" json:"prefer,omitempty"`
	// Failback says when calls go back to a region that they have left and that is well again: "automatic" by itself, in
	// steps; "manual" when somebody says 'holdfast failback', or when nothing else is left. Default automatic.
	Failback Initiative `yaml:"failback,omitempty" json:"failback,omitempty"`
	// Promote says who makes another region the first one when this one is given up (tiers.promote): "manual" somebody, by
	// 'holdfast promote'; "automatic" the control plane, as a revision. Default manual.
	Promote Initiative `yaml:"promote,omitempty" json:"promote,omitempty"`
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
