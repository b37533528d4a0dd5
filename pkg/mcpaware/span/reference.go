package span

import "go.opentelemetry.io/otel/attribute"

// Described is an attribute of Holdfast's own as the reference has it.
type Described struct {
	Key attribute.Key
	// On says which spans have it: call, try, Envoy's, server's.
	On string
	// Means is what it says, and when it is there.
	Means string
}

// Spans that have an attribute.
const (
	onCall = "call"
	onTry  = "try"
	onBoth = "call, try"
	onAll  = "call, try, Envoy's, demo server's"
)

// Reference lists the attributes of Holdfast's own.
func Reference() []Described {
	return []Described{
		{Policy, onBoth, "MCPRoute that the request came to."},
		{Rule, onCall, "Rule that chose what happens, such as `tools[0]`."},
		{Route, onCall, "Envoy route that the request was stamped with."},
		{Revision, onCall, "Version of the policies in force, as `holdfast status` shows it for the processor."},
		{Server, onBoth, "MCPServer that the call goes to."},
		{Region, onAll, "Region: of the try, and of the answer for the call."},
		{Endpoint, onAll, "Endpoint, by its name in the configuration."},
		{Attempts, onCall, "Tries that the call took."},
		{Attempt, onTry, "Number of the try, from 1."},
		{Verdict, onBoth, "What the answer says about tool and endpoint; of a call where the answer that went to the caller was a failure."},
		{FirstEvent, onTry, "Seconds until the first whole message of the answer was let through."},
		{Degraded, onCall, "Source of an answer that was given in the server's place."},
		{Reason, onCall, "Code of the error that such an answer holds, or would."},
		{Limit, onCall, "Limit that refused the call."},
		{Waited, onCall, "Seconds that the call waited for its turn, where it did."},
		{BreakerOpen, onCall, "Regions that the call was kept away from, since its tool is broken there."},
		{BreakerHalfOpen, onCall, "Regions that it was kept away from while other calls try whether the tool still is broken there."},
		{BreakerTrial, onBoth, "Region whose half-open breaker the call, or the try, finds out about."},
		{BreakerRefused, onCall, "Whether a call that breakers kept away from regions had none left."},
		{SentAway, onCall, "Regions that the call's caller is sent away from, since they are slow, sick in part or drained."},
		{Busy, onCall, "Regions that had asked its caller to wait."},
		{Kept, onBoth, "true: the trace was not to be recorded, and the span is there because of how the call went."},
	}
}
