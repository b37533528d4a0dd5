package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Defaults of fields that were left out.
const (
	// DefaultGatewayName names the Gateway when no file has any.
	DefaultGatewayName = "default"
	// DefaultAddress is GatewaySpec.Address.
	DefaultAddress = "127.0.0.1:10000"
	// DefaultProcessorTimeout is GatewaySpec.ProcessorTimeout.
	DefaultProcessorTimeout = Duration(500 * time.Millisecond)
	// DefaultMaxBodyBytes is GatewaySpec.MaxBodyBytes.
	DefaultMaxBodyBytes ByteSize = maxBodyBytes
	// DefaultPath is MCPServerSpec.Path and MCPRouteSpec.Path.
	DefaultPath = "/mcp"
	// DefaultHealthPath is HealthCheck.Path.
	DefaultHealthPath = "/health"
	// DefaultHealthInterval is HealthCheck.Interval.
	DefaultHealthInterval = Duration(time.Second)
	// DefaultHealthTimeout is HealthCheck.Timeout, unless the interval is shorter.
	DefaultHealthTimeout = Duration(500 * time.Millisecond)
	// DefaultConnectTimeout is MCPServerSpec.ConnectTimeout.
	DefaultConnectTimeout = Duration(time.Second)
	// DefaultSessionPrincipal is MCPServerSpec.SessionPrincipal.
	DefaultSessionPrincipal = "authorization"
	// DefaultSessionMaxAge is MCPServerSpec.SessionMaxAge.
	DefaultSessionMaxAge = Duration(7 * day)
	// DefaultTimeout is MCPRouteSpec.Timeout.
	DefaultTimeout = Duration(time.Minute)
	// DefaultIdleTimeout is MCPRouteSpec.IdleTimeout.
	DefaultIdleTimeout = Duration(5 * time.Minute)
	// DefaultAttempts is Retry.Attempts, unless fewer fit into the timeout.
	DefaultAttempts = 3
	// DefaultBackOff is BackOff.Base, unless less of the timeout is left.
	DefaultBackOff = Duration(5 * time.Millisecond)
	// DefaultMaxBackOff is BackOff.Max, unless the base is longer.
	DefaultMaxBackOff = Duration(250 * time.Millisecond)
	// DefaultMaxWait is Concurrency.MaxWait.
	DefaultMaxWait = Duration(time.Second)
	// DefaultPriority is ToolRule.Priority.
	DefaultPriority = 5
	// DefaultCost is ToolRule.Cost.
	DefaultCost = 1
	// DefaultPrincipalHeader is GatewaySpec.PrincipalHeader.
	DefaultPrincipalHeader = "authorization"
	// DefaultDiscoverRequests is DiscoverLimit.Requests.
	DefaultDiscoverRequests = 100
	// DefaultDiscoverPer is DiscoverLimit.Per.
	DefaultDiscoverPer = Duration(time.Second)
	// DefaultStaleListAge is StaleLists.MaxAge.
	DefaultStaleListAge = Duration(day)
)

// anyValue allows every host or origin.
const anyValue = "*"

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func defaultGateway() Gateway {
	g := Gateway{Metadata: Metadata{Name: DefaultGatewayName}}
	g.applyDefaults()
	return g
}

func (g *Gateway) applyDefaults() {
	s := &g.Spec
	setDefault(&s.Address, DefaultAddress)
	setDefault(&s.MaxBodyBytes, DefaultMaxBodyBytes)
	setDefault(&s.ProcessorTimeout, DefaultProcessorTimeout)
	setDefault(&s.PrincipalHeader, DefaultPrincipalHeader)
	s.Telemetry.Traces.applyDefaults()
	s.JWT.applyDefaults()
	if len(s.AllowedHosts) == 0 && loopback(s.Address) {
		s.AllowedHosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if len(s.AllowedOrigins) == 0 {
		s.AllowedOrigins = originsOf(s.AllowedHosts)
	}
}

// loopback tells whether only programs on the same machine reach address.
func loopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().IsLoopback()
}

// originsOf gives the http and https origins of every host; none for "*", since a
// page from anywhere is more than a server under any name.
func originsOf(hosts []string) []string {
	var out []string
	for _, host := range hosts {
		if host == anyValue {
			return nil
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		out = append(out, "http://"+host, "https://"+host)
	}
	return out
}

func (s *MCPServer) applyDefaults() {
	spec := &s.Spec
	setDefault(&spec.Path, DefaultPath)
	setDefault(&spec.Failover.Mode, ActivePassive)
	setDefault(&spec.Failover.Failback, Automatic)
	setDefault(&spec.Failover.Promote, Manual)
	setDefault(&spec.ConnectTimeout, DefaultConnectTimeout)
	spec.Concurrency.applyDefaults()
	setDefault(&spec.Sessions, SessionsEnd)
	setDefault(&spec.SessionPrincipal, DefaultSessionPrincipal)
	setDefault(&spec.SessionMaxAge, DefaultSessionMaxAge)
	setDefault(&spec.HealthCheck.Path, DefaultHealthPath)
	setDefault(&spec.HealthCheck.Interval, DefaultHealthInterval)
	setDefault(&spec.HealthCheck.Timeout, min(DefaultHealthTimeout, spec.HealthCheck.Interval))
	spec.Outlier.applyDefaults(spec.Regions)
	spec.RetryBudget.applyDefaults()
	spec.Breaker.applyDefaults()
	spec.TLS.applyDefaults()
	spec.Probes.applyDefaults()
	spec.Score.applyDefaults()
	spec.Tiers.applyDefaults()
	spec.Shift.applyDefaults()
	for _, r := range spec.Regions {
		for i := range r.Endpoints {
			setDefault(&r.Endpoints[i].Name, fmt.Sprintf("%s-%s-%d", s.Metadata.Name, r.Name, i))
		}
	}
}

func (r *MCPRoute) applyDefaults() {
	spec := &r.Spec
	setDefault(&spec.Path, DefaultPath)
	setDefault(&spec.MaxTimeout, maxTimeout)
	setDefault(&spec.Timeout, min(DefaultTimeout, spec.MaxTimeout))
	setDefault(&spec.IdleTimeout, DefaultIdleTimeout)
	spec.Retry.applyDefaults(spec.Timeout)
	setDefault(&spec.DiscoverLimit.Requests, DefaultDiscoverRequests)
	setDefault(&spec.DiscoverLimit.Per, DefaultDiscoverPer)
	setDefault(&spec.Errors, ErrorsMCP)
	setDefault(&spec.Stamp, On)
	setDefault(&spec.OnProcessorFailure, Refuse)
	if spec.Degrade.StaleLists.MaxAge == nil {
		age := DefaultStaleListAge
		spec.Degrade.StaleLists.MaxAge = &age
	}
	for i := range spec.Tools {
		rule := &spec.Tools[i]
		setDefault(&rule.Timeout, spec.Timeout)
		setDefault(&rule.IdleTimeout, spec.IdleTimeout)
		rule.applyRank()
		rule.Degrade.applyDefaults()
		rule.Retry.applyDefaults(rule.Timeout)
	}
	for i := range spec.Methods {
		rule := &spec.Methods[i]
		setDefault(&rule.Timeout, spec.Timeout)
		setDefault(&rule.IdleTimeout, spec.IdleTimeout)
		rule.Retry.applyDefaults(rule.Timeout)
	}
}
