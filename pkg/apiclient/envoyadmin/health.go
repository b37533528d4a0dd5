package envoyadmin

import (
	"context"
	"net"
	"strconv"
)

// States of an endpoint, as EndpointHealth.state has them.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
	Ejected   = "ejected"
	Draining  = "draining"
	Unknown   = "unknown"
)

// Health is how an Envoy sees one endpoint of a cluster.
type Health struct {
	Cluster, Region string
	// Address is host:port, or unix:///path.
	Address string
	// State is one of the constants; By says who found so, empty when it is healthy.
	State, By string
}

// Clusters gives every endpoint that the Envoy has (/clusters?format=json).
func (c *Client) Clusters(ctx context.Context) ([]Health, error) {
	var answer clusters
	if err := c.get(ctx, "/clusters?format=json", &answer); err != nil {
		return nil, err
	}
	return answer.health(), nil
}

// clusters is envoy.admin.v3.Clusters, as far as it is about health.
type clusters struct {
	Statuses []struct {
		Name  string `json:"name"`
		Hosts []struct {
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    uint16 `json:"port_value"`
				} `json:"socket_address"`
				Pipe struct {
					Path string `json:"path"`
				} `json:"pipe"`
			} `json:"address"`
			Health   hostHealth `json:"health_status"`
			Locality struct {
				Region string `json:"region"`
			} `json:"locality"`
		} `json:"host_statuses"`
	} `json:"cluster_statuses"`
}

// hostHealth is envoy.admin.v3.HostHealthStatus.
type hostHealth struct {
	FailedCheck    bool   `json:"failed_active_health_check"`
	FailedOutlier  bool   `json:"failed_outlier_check"`
	Degraded       bool   `json:"failed_active_degraded_check"`
	Pending        bool   `json:"pending_active_hc"`
	PendingRemoval bool   `json:"pending_dynamic_removal"`
	EDS            string `json:"eds_health_status"`
}

func (c clusters) health() []Health {
	var out []Health
	for _, status := range c.Statuses {
		for i := range status.Hosts {
			host := &status.Hosts[i]
			h := Health{
				Cluster: status.Name, Region: host.Locality.Region,
				Address: net.JoinHostPort(host.Address.Socket.Address, strconv.Itoa(int(host.Address.Socket.Port))),
			}
			if path := host.Address.Pipe.Path; path != "" {
				h.Address = "unix://" + path
			}
			h.State, h.By = host.Health.state()
			out = append(out, h)
		}
	}
	return out
}

// state: what an operator did comes first, then what takes the endpoint out of the
// load balancing, most decisive first.
func (h hostHealth) state() (state, by string) {
	switch {
	case h.EDS == "DRAINING", h.PendingRemoval:
		return Draining, "operator"
	case h.EDS == "UNHEALTHY", h.EDS == "TIMEOUT":
		return Unhealthy, "operator"
	case h.FailedCheck && h.FailedOutlier:
		return Ejected, "health check and outlier detection"
	case h.FailedOutlier:
		return Ejected, "outlier detection"
	case h.FailedCheck && h.Pending:
		return Unknown, "first health check"
	case h.FailedCheck, h.Degraded:
		return Unhealthy, "health check"
	default:
		return Healthy, ""
	}
}
