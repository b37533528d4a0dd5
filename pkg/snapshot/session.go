package snapshot

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	statefulv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	headerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/stateful_session/header/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// sessionFilters send a request to the endpoint that the edge point names, which is
// why they stand behind it. Which of the two acts depends on the header that is there:
// with one no other endpoint will do, with the other any will if that one is down.
func sessionFilters() ([]*hcmv3.HttpFilter, error) {
	var filters []*hcmv3.HttpFilter
	for _, f := range []struct {
		name, header string
		strict       bool
	}{
		{names.FilterSessionOnly, names.HeaderEndpointOnly, true},
		{names.FilterSessionFirst, names.HeaderEndpointFirst, false},
	} {
		state, err := anyOf(&headerv3.HeaderBasedSessionState{Name: f.header})
		if err != nil {
			return nil, err
		}
		filter, err := packFilter(f.name, &statefulv3.StatefulSession{
			SessionState: &corev3.TypedExtensionConfig{Name: "envoy.http.stateful_session.header", TypedConfig: state},
			Strict:       f.strict,
		})
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	return filters, nil
}

// withoutSessions turns the filters off for a route whose answers no edge point sees:
// Envoy would tell the client the endpoint's address.
func withoutSessions() (map[string]*anypb.Any, error) {
	off, err := anyOf(&statefulv3.StatefulSessionPerRoute{Override: &statefulv3.StatefulSessionPerRoute_Disabled{Disabled: true}})
	if err != nil {
		return nil, err
	}
	return map[string]*anypb.Any{names.FilterSessionOnly: off, names.FilterSessionFirst: off}, nil
}

// overrideStatuses are the states in which an endpoint still gets the requests of its
// sessions: all but down. One that is being drained takes no new sessions and keeps those it has.
func overrideStatuses() *corev3.HealthStatusSet {
	return &corev3.HealthStatusSet{Statuses: []corev3.HealthStatus{
		corev3.HealthStatus_UNKNOWN, corev3.HealthStatus_HEALTHY, corev3.HealthStatus_DEGRADED, corev3.HealthStatus_DRAINING,
	}}
}

// replicated says whether any server has endpoints to choose from.
func replicated(m *model.Model) bool {
	for _, s := range m.Servers {
		n := 0
		for _, localities := range s.Priorities {
			for _, l := range localities {
				n += len(l.Endpoints)
			}
		}
		if n > 1 {
			return true
		}
	}
	return false
}

// reopen lets calls of a lost session move on: the endpoint that does not know it has
// not run them.
func reopen(a model.Action, retry *routev3.RetryPolicy) {
	retry.RetryOn = retryOnUnsafe + ",retriable-status-codes"
	retry.RetriableStatusCodes = []uint32{names.StatusSessionLost}
	if a.Class == model.Stream {
		// A stream may be silent for as long as it likes.
		retry.PerTryTimeout = nil
	}
}
