package degrade

import (
	"net/http"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// Local is an answer that Envoy gave by itself, as its response attributes tell it.
type Local struct {
	// Status is the HTTP status.
	Status int
	// Flags are Envoy's response flags, short names with commas (%RESPONSE_FLAGS%),
	// such as "UF,URX". FlagNames makes them from the attribute response.flags.
	Flags string
	// CodeDetails is the attribute response.code_details, such as
	// "upstream_reset_before_response_started{remote_connection_failure|...}".
	CodeDetails string
	// Attempts is the number of tries, 0 where unknown.
	Attempts int
}

// FlagNames turns the attribute response.flags into short names. It is a bit set in the
// order of Envoy's CoreResponseFlag (envoy/stream_info/stream_info.h).
func FlagNames(bits uint64) string {
	var found []string
	for i, name := range [...]string{
		"LH", "UH", "UT", "LR", "UR", "UF", "UC", "UO", "NR", "DI", "FI", "RL", "UAEX", "RLSE", "DC", "URX",
		"SI", "IH", "DPE", "UMSDR", "RFCF", "NFCF", "DT", "UPE", "NC", "OM", "DF", "DO", "DR", "UDO",
	} {
		if bits&(1<<i) != 0 {
			found = append(found, name)
		}
	}
	return strings.Join(found, ",")
}

// FromEnvoy words why Envoy answered in the server's place.
//
// For a call that may not run twice the outcome is NotExecuted only where the last try
// provably never left: connection failures, refused streams, full queues, no endpoint,
// no route, a request that never came in whole. That speaks for earlier tries too,
// since such calls are tried again only after one of these. call is nil where no
// message was read.
func FromEnvoy(local Local, call *policyv1.CallContext, requestID string) Cause {
	code, what, outcome := local.words(call)
	return cause(code, what, outcome, call, requestID)
}

func (l Local) words(call *policyv1.CallContext) (code Code, what, outcome string) {
	server := serverName(call)
	switch l.failure() {
	case noEndpoint:
		return ServiceUnavailable, "Service unavailable - all " + endpointsOf(call) + " are down.", NotExecuted
	case notConnected:
		if l.Attempts > 1 || l.flag("URX") {
			return ServiceUnavailable, "Service unavailable - all " + endpointsOf(call) + " are down.", NotExecuted
		}
		return ServiceUnavailable, "Service unavailable - " + server + " cannot be reached.", NotExecuted
	case overloaded:
		return ServiceUnavailable, "Service unavailable - " + server + " is overloaded.", NotExecuted
	case refused:
		return ServiceUnavailable, "Service unavailable - " + server + " takes no calls right now.", NotExecuted
	case broken:
		return ServiceUnavailable, "Service unavailable - the connection to " + server + " broke before an answer came.", Unknown
	case timedOut:
		return Timeout, "Timeout - " + server + " did not answer in time.", Unknown
	case incomplete:
		return Timeout, "Timeout - the request did not arrive in time.", NotExecuted
	case tooLarge:
		return InvalidInput, "Invalid input - the request is too large.", NotExecuted
	case badAnswer:
		return DependencyFailed, "Dependency failed - " + server + " sent an answer that cannot be passed on.", Unknown
	case noRoute:
		return InternalError, "Internal error - there is no route for the request.", NotExecuted
	case denied:
		return Unauthorized, "Not allowed - the request was refused.", NotExecuted
	case limited:
		return RateLimited, "Rate limited - too many calls to " + server + ".", NotExecuted
	case unclear:
	}
	return InternalError, "Internal error - the request failed on its way.", Unknown
}

// Unreachable says that there was no endpoint to send the request to, or that the one
// there was did not take the connection: no server has seen the request.
func (l Local) Unreachable() bool {
	failure := l.failure()
	return failure == noEndpoint || failure == notConnected
}

func endpointsOf(call *policyv1.CallContext) string {
	if name := call.GetServer(); name != "" {
		return name + " endpoints"
	}
	return "endpoints of the server"
}

// failure is what happened, as far as callers care.
type failure int

const (
	unclear failure = iota
	noEndpoint
	notConnected
	overloaded
	refused
	broken
	timedOut
	incomplete
	tooLarge
	badAnswer
	noRoute
	denied
	limited
)

// failure reads the details first: flags add up over tries and over retry limits (UO is
// set when a retry is refused after a try that did reach a server), so they prove less.
func (l Local) failure() failure {
	detail, reason := splitDetails(l.CodeDetails)
	switch detail {
	case "no_healthy_upstream":
		return noEndpoint
	case "upstream_reset_before_response_started":
		if found := resetFailure(reason); found != unclear {
			return found
		}
	case "upstream_reset_after_response_started":
		return broken
	case "upstream_per_try_timeout", "upstream_per_try_idle_timeout", "response_timeout", "duration_timeout",
		"upstream_max_stream_duration_reached", "max_duration_timeout", "stream_idle_timeout":
		return timedOut
	case "request_overall_timeout", "request_header_timeout", "downstream_header_timeout":
		return incomplete
	case "request_payload_too_large":
		return tooLarge
	case "response_payload_too_large":
		return badAnswer
	case "overload", "maintenance_mode", "drop_overload", "unconditional_drop_overload":
		return overloaded
	case "route_not_found", "route_configuration_not_found", "cluster_not_found":
		return noRoute
	}
	if strings.HasPrefix(detail, "rbac_access_denied") {
		return denied
	}
	return l.flagFailure()
}

// flagFailure puts the flags that leave the outcome open before those that prove that
// nothing was sent.
func (l Local) flagFailure() failure {
	switch {
	case l.flag("UT"), l.flag("SI"), l.flag("DT"), l.flag("UMSDR"):
		return timedOut
	case l.flag("UR"), l.flag("UC"), l.flag("LR"):
		return broken
	case l.flag("UPE"):
		return badAnswer
	case l.flag("UH"):
		return noEndpoint
	case l.flag("UF"), l.flag("DF"):
		return notConnected
	case l.flag("UO"), l.flag("OM"), l.flag("DO"), l.flag("UDO"):
		return overloaded
	case l.flag("NR"), l.flag("NC"):
		return noRoute
	}
	switch l.Status {
	case http.StatusRequestEntityTooLarge:
		return tooLarge
	case http.StatusForbidden, http.StatusUnauthorized:
		return denied
	case http.StatusTooManyRequests:
		return limited
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		return broken
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return timedOut
	}
	return unclear
}

// resetFailure reads a StreamResetReason as Envoy writes it.
func resetFailure(reason string) failure {
	switch reason {
	case "connection_failure", "local_connection_failure", "remote_connection_failure", "connection_timeout":
		return notConnected
	case "overflow", "overload_manager_reset":
		return overloaded
	case "remote_refused_stream_reset", "local_refused_stream_reset":
		return refused
	case "connection_termination", "remote_reset", "local_reset", "http/1_premature_upstream_half_close":
		return broken
	case "protocol_error":
		return badAnswer
	}
	return unclear
}

// splitDetails parts "detail{reason|more}". Envoy writes spaces in details as
// underscores, and parts the transport's own words with a bar or a comma.
func splitDetails(details string) (detail, reason string) {
	details = strings.ReplaceAll(details, " ", "_")
	detail, rest, _ := strings.Cut(details, "{")
	if end := strings.IndexAny(rest, "|,}"); end >= 0 {
		rest = rest[:end]
	}
	return detail, rest
}

func (l Local) flag(name string) bool {
	for have := range strings.SplitSeq(l.Flags, ",") {
		if have == name {
			return true
		}
	}
	return false
}
