package outcome

import (
	"strconv"
	"strings"
)

// Verdict is the attempt point's word on one try.
type Verdict string

// Verdicts, as they are spelled in names.HeaderVerdict.
const (
	// Good is not written into a header: the answer goes on as it came.
	Good Verdict = "good"
	// CallerFault: the status says server error, the JSON-RPC error says that the
	// caller was wrong. Envoy must neither try again nor count it.
	CallerFault Verdict = "caller_fault"
	// ToolFailed: this tool does not work here; the endpoint may.
	ToolFailed Verdict = "tool_failed"
	// EndpointFailed: nothing suggests that this endpoint works.
	EndpointFailed Verdict = "endpoint_failed"
	// TooBusy: the server asks to be called later; another endpoint may have time.
	TooBusy Verdict = "busy"
	// Timeout: no whole message within the per-try timeout.
	Timeout Verdict = "timeout"
)

// Report is what the attempt point tells the edge point about a try whose
// :status it changed.
type Report struct {
	Verdict Verdict
	// Status is the server's own, 100 to 599.
	Status int
	// Usable says that the body is an answer which the caller can match to its
	// request, so that restoring the status gives it the server's own words.
	Usable bool
}

// String is the value of names.HeaderVerdict: "<verdict>;<status>;mcp" or "…;raw".
func (r Report) String() string {
	body := "raw"
	if r.Usable {
		body = "mcp"
	}
	return string(r.Verdict) + ";" + strconv.Itoa(r.Status) + ";" + body
}

// ParseReport reads what String wrote. ok is false for anything else.
func ParseReport(s string) (r Report, ok bool) {
	verdict, rest, found := strings.Cut(s, ";")
	if !found {
		return Report{}, false
	}
	status, body, found := strings.Cut(rest, ";")
	if !found || (body != "mcp" && body != "raw") {
		return Report{}, false
	}
	n, err := strconv.Atoi(status)
	if err != nil || len(status) != 3 || n < 100 || n > 599 {
		return Report{}, false
	}
	switch v := Verdict(verdict); v {
	case CallerFault, ToolFailed, EndpointFailed, TooBusy, Timeout:
		return Report{Verdict: v, Status: n, Usable: body == "mcp"}, true
	case Good:
	}
	return Report{}, false
}
