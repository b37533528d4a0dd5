package config

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
	// Pages are further paths, exact, at most 32, that go to the first server as they are, with any HTTP method: what a server
	// says of itself to clients that need a token (/.well-known/oauth-protected-resource/mcp), for instance. Nothing
	// that goes there is read, limited or remembered, so none may be where a server takes MCP messages. Default: none.
	Pages []string `yaml:"pages,omitempty" json:"pages,omitempty"`
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
	// Degrade says what stands in for an answer when neither the server nor a fallback gives one. Default: the call is refused.
	Degrade ToolDegrade `yaml:"degrade,omitempty" json:"degrade,omitempty"`
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
