package snapshot_test

import (
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestEveryRouteNamesItsTimes: Envoy's own defaults would cut answers after 15 s and silent
// streams after five minutes. No answer has a bound on its whole, and GET and
// subscriptions/listen have none on their silence.
func TestEveryRouteNamesItsTimes(t *testing.T) {
	streams := 0
	for _, in := range inputs(t) {
		r := build(t, in)
		config, ok := r.Routes[names.RouteConfigName].(*routev3.RouteConfiguration)
		if !ok {
			t.Fatalf("%s has no routes", in)
		}
		for _, host := range config.GetVirtualHosts() {
			for _, route := range host.GetRoutes() {
				action := route.GetRoute()
				if action == nil {
					continue
				}
				page := strings.Contains(route.GetName(), ".pages[")
				if action.GetTimeout() == nil || action.GetIdleTimeout() == nil || !page && action.GetTimeout().AsDuration() != 0 {
					t.Errorf("%s: route %s: timeout %v, idle timeout %v", in, route.GetName(), action.GetTimeout(), action.GetIdleTimeout())
				}
				if strings.Contains(route.GetName(), ".stream.") || strings.Contains(route.GetName(), ".listen.") {
					streams++
					if action.GetIdleTimeout().AsDuration() != 0 || action.GetRetryPolicy().GetPerTryTimeout().AsDuration() != 0 {
						t.Errorf("%s: route %s: silence ends after %v, a try after %v", in, route.GetName(), action.GetIdleTimeout(), action.GetRetryPolicy().GetPerTryTimeout())
					}
				}
			}
		}
	}
	if streams == 0 {
		t.Error("there is no route for streams")
	}
}
