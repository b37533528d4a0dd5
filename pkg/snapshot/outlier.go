package snapshot

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// outlierDetection ejects an endpoint on failures in a row or on a share of
// its answers failing. Consecutive counters are cleared by any good answer, so
// an endpoint that fails now and then is only caught by the percentage. Timeouts
// count as local-origin failures: as many in a row as other failures, since a few slow
// calls of one tool at a time must not eject the endpoint of all tools.
func outlierDetection(o model.Outlier) *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		Interval:                               duration(o.Interval),
		BaseEjectionTime:                       duration(o.EjectionTime),
		MaxEjectionTime:                        duration(o.MaxEjectionTime),
		MaxEjectionTimeJitter:                  duration(0),
		MaxEjectionPercent:                     u32(o.MaxEjectedPercent),
		Consecutive_5Xx:                        u32(o.ConsecutiveFailures),
		EnforcingConsecutive_5Xx:               u32(100),
		ConsecutiveGatewayFailure:              u32(o.ConsecutiveFailures),
		EnforcingConsecutiveGatewayFailure:     u32(0),
		SplitExternalLocalOriginErrors:         true,
		ConsecutiveLocalOriginFailure:          u32(o.ConsecutiveFailures),
		EnforcingConsecutiveLocalOriginFailure: u32(100),
		EnforcingSuccessRate:                   u32(0),
		EnforcingLocalOriginSuccessRate:        u32(0),
		FailurePercentageThreshold:             u32(o.FailurePercent),
		EnforcingFailurePercentage:             u32(100),
		EnforcingFailurePercentageLocalOrigin:  u32(0),
		FailurePercentageMinimumHosts:          u32(1),
		FailurePercentageRequestVolume:         u32(o.MinimumCalls),
		// A health page that answers says nothing about the tools behind it: an
		// endpoint ejected for failing answers stays out for its time.
		SuccessfulActiveHealthCheckUnejectHost: boolean(false),
	}
}
