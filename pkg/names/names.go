// Package names holds the words that the control plane, the snapshot builder
// and the external processor must spell alike: header names, filter names,
// gRPC metadata keys and MCP _meta keys. It imports nothing, so that pkg/snapshot
// and pkg/mcpaware, which never import each other, can both depend on it.
package names

// Reserved header prefixes. Envoy removes every client header with one of them
// before it routes (early header mutation), so that what arrives at the
// processor or at a route with such a name was written by Holdfast or Envoy.
const (
	HeaderPrefix      = "x-holdfast-"
	EnvoyHeaderPrefix = "x-envoy-"
)

// Request headers between the edge point, Envoy's router and the attempt point.
const (
	// HeaderRoute is the stamp: the name of the Envoy route that the edge point
	// chose. Every route that reaches a cluster requires it, so a request that
	// no processor has seen matches only the last route, a direct 503.
	HeaderRoute = "x-holdfast-route"
	// HeaderSubject is the subject of the caller's token, which Envoy has checked. The attempt point takes it off.
	HeaderSubject = "x-holdfast-subject"
	// HeaderEndpointOnly and HeaderEndpointFirst hold the address of the endpoint that
	// has the session of a request, host:port in base64 as Envoy's stateful session
	// filters read it: no other endpoint will do, or others will if that one is down.
	// Envoy answers with them too, which the edge point takes off.
	HeaderEndpointOnly  = "x-holdfast-endpoint-only"
	HeaderEndpointFirst = "x-holdfast-endpoint-first"
)

// A request that Envoy begins again, because its answer was lost with the processor
// that held it or because the route that it was decided for is not there (any more, or
// yet), comes back to the edge point as a GET under another path.
const (
	// PathRerun stands before the path of the route.
	PathRerun = "/.holdfast/rerun"
	// HeaderRerun carries the content-length that the redirect drops.
	HeaderRerun = "x-holdfast-rerun"
	// HeaderSessionToken keeps the session id as the client sent it, which the edge point
	// has replaced by the server's own.
	HeaderSessionToken = "x-holdfast-session-token" //nolint:gosec // a header's name
	// HeaderLost on Envoy's own answer says what is gone: LostProcessor or LostCluster.
	HeaderLost = "x-holdfast-lost"
	// LostProcessor: it was gone before it let the answer go.
	LostProcessor = "processor"
	// LostCluster: the route's cluster has been removed; no server was asked.
	LostCluster = "cluster"
)

// SessionPrefix begins the ids of sessions that clients are given.
const SessionPrefix = "hf1."

// WaitPrefix begins the id of the event that a client is told to wait with. What follows
// is a word that differs each time, since some clients give up where they are given the same
// id again and again, and behind a dot the id that the client came with.
const WaitPrefix = "holdfast-wait-"

// Response headers. The attempt point removes every HeaderPrefix header that a
// server sent and then writes its own.
const (
	// HeaderRegion names the region that answered; on every answer of a server.
	HeaderRegion = "x-holdfast-region"
	// HeaderVia names the endpoint that answered.
	HeaderVia = "x-holdfast-via"
	// HeaderVerdict is the attempt point's word to the edge point about an answer
	// that it gave a failing :status: "<verdict>;<the server's own status>". The
	// edge point removes it and restores the server's status.
	HeaderVerdict = "x-holdfast-verdict"
	// HeaderRetryAfter is the attempt point's word to Envoy's router: the seconds to wait before the
	// call is tried again where it was refused with Retry-After. The edge point removes it.
	HeaderRetryAfter = "x-holdfast-retry-after"
	// HeaderDegraded gives the source of a degraded answer: "stale", "error", …
	HeaderDegraded = "x-holdfast-degraded"
	// HeaderAttempts is the number of tries that a call took, Envoy's
	// x-envoy-attempt-count under a name of our own; on every answer of a server.
	HeaderAttempts = "x-holdfast-attempts"
	// HeaderError is the attempt point's word to the edge point what error a passed answer holds, in the terms of
	// error.type of OpenTelemetry's conventions: "tool_error", or a JSON-RPC code. It is only there where
	// the call is traced. The edge point removes it.
	HeaderError = "x-holdfast-error"
	// HeaderSession is the attempt point's word to the edge point that the session of
	// the request is lost. The edge point answers 404 then.
	HeaderSession = "x-holdfast-session"
)

// Dynamic metadata that the edge filter takes from the processor
// (metadata_options.receiving_namespaces.untyped) and the attempt filter hands
// back (AttributeCall, AttributeFailed). Unlike request headers, which all tries
// of a request share and which go on to the server, it is there for every try and seen by no one else.
const (
	// MetadataNamespace holds all of it.
	MetadataNamespace = "holdfast"
	// MetadataCall is the key of the serialised policyv1.CallContext, as unpadded
	// base64url, since metadata holds text only.
	MetadataCall = "call"
)

// Subset load balancing: the metadata of endpoints, and of calls that may not go to
// every region (envoy.config.cluster.v3.Cluster.LbSubsetConfig).
const (
	// LBNamespace is Envoy's own.
	LBNamespace = "envoy.lb"
	// LBAvoid lists the sets of regions that an endpoint stands outside of; a call with one of them there
	// goes to every endpoint outside it. See Subset.
	LBAvoid = "avoid"
	// LBRegion lists sets of regions that an endpoint's is in; a call with one of them there goes nowhere else.
	LBRegion = "region"
	// LBFallbackList has such metadata several times: the first for which there is an endpoint that is up
	// counts (LbSubsetMetadataFallbackPolicy FALLBACK_LIST).
	LBFallbackList = "fallback_list"
)

// Attributes that Envoy's spans share with the processors': where a try went. Envoy takes them from the endpoint's metadata
// under MetadataNamespace, where they have the keys of the last word.
const (
	AttributeRegion   = "holdfast.region"
	AttributeEndpoint = "holdfast.endpoint"
	MetadataRegion    = "region"
	MetadataEndpoint  = "endpoint"
)

// MetadataFailed is the key, in MetadataNamespace, of where the try before failed:
// "<host:port> <region>".
const MetadataFailed = "failed"

// Attributes by which the attempt filter hands back metadata, as CEL expressions: with the first message
// of a try. Forwarded as a namespace it would be copied into each message.
const (
	AttributeCall   = "metadata.filter_metadata['" + MetadataNamespace + "']['" + MetadataCall + "']"
	AttributeFailed = "metadata.filter_metadata['" + MetadataNamespace + "']['" + MetadataFailed + "']"
)

// HTTP filter names; per-route configuration refers to them.
const (
	FilterEdge    = "holdfast.edge"
	FilterAttempt = "holdfast.attempt"
	// FilterSessionOnly and FilterSessionFirst act on HeaderEndpointOnly and
	// HeaderEndpointFirst.
	FilterSessionOnly  = "holdfast.session.only"
	FilterSessionFirst = "holdfast.session.first"
	// FilterUnseen takes off answers what their edge point should have.
	FilterUnseen = "holdfast.unseen"
	// FilterRerun begins a safe call again whose answer was lost with a processor.
	FilterRerun = "holdfast.rerun"
)

// Attachment points, as sent by Envoy in the gRPC initial metadata PointKey.
const (
	PointKey     = "x-holdfast-point"
	PointEdge    = "edge"
	PointAttempt = "attempt"
)

// Names of clusters that Holdfast adds to those of the operator's servers. The
// prefix cannot occur in an MCPServer name.
const (
	ClusterExtproc = "holdfast.extproc"
	ClusterXDS     = "holdfast.xds"
	// ClusterFallbackPrefix begins the names of clusters that join two servers, followed by
	// their names.
	ClusterFallbackPrefix = "holdfast.fallback."
	// ClusterKeys is where Envoy gets the keys of callers' tokens.
	ClusterKeys = "holdfast.keys"
	// ClusterTraces is the receiver of Envoy's spans.
	ClusterTraces = "holdfast.traces"
)

// RouteConfigName is the one RDS resource that a Gateway's listener names.
const RouteConfigName = "holdfast.routes"

// MCP _meta keys.
const (
	MetaDegraded = "holdfast/degraded"
	MetaVia      = "holdfast/via"
	MetaError    = "holdfast/error"
	// MetaTimeout is in requests: how many milliseconds the caller waits for the first whole message.
	MetaTimeout = "holdfast/timeoutMs"
)

// Statuses that the attempt point writes into :status.
const (
	// StatusToolFailed moves the call to the next priority
	// (retriable_status_codes) and is not counted by outlier detection.
	StatusToolFailed = 424
	// StatusBusy is a server's own word: the call moves and is not counted.
	StatusBusy = 429
	// StatusGiveUp is neither tried again nor counted: no time is left for another try.
	StatusGiveUp = 408
	// StatusSessionLost moves a call whose session the endpoint does not know any more, so
	// that it has not run; on routes of servers whose sessions are opened again. It is no
	// status of HTTP.
	StatusSessionLost = 442
	// StatusEndpointFailed moves the call and is counted.
	StatusEndpointFailed = 503
)

// Type URLs of Holdfast's own xDS resources.
const (
	TypeURLRoutePolicy = "type.googleapis.com/holdfast.policy.v1.RoutePolicy"
	TypeURLCatalog     = "type.googleapis.com/holdfast.policy.v1.CatalogEntry"
	TypeURLSessionKeys = "type.googleapis.com/holdfast.session.v1.Keys"
	TypeURLShares      = "type.googleapis.com/holdfast.policy.v1.Shares"
)

// SessionKeys is the name of the one resource of TypeURLSessionKeys.
const SessionKeys = "holdfast.session-keys"
