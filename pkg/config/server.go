package config

import (
	"fmt"
	"net/netip"
	"strings"
)

func checkServerValues(s loaded[MCPServer]) {
	spec := s.value.Spec
	s.nameAt("metadata.name", s.value.Metadata.Name, maxNameBytes)
	s.textAt("spec.path", spec.Path, badPath)
	s.textAt("spec.healthCheck.path", spec.HealthCheck.Path, badPath)
	rangeAt(s.document, "spec.connectTimeout", spec.ConnectTimeout, minTimeout, maxConnectTimeout)
	rangeAt(s.document, "spec.healthCheck.interval", spec.HealthCheck.Interval, minCheckInterval, maxCheckInterval)
	rangeAt(s.document, "spec.healthCheck.timeout", spec.HealthCheck.Timeout, minCheckTimeout, maxCheckInterval)
	checkOutlierValues(s)
	checkResidencyValues(s)
	checkConcurrency(s.document, "spec.concurrency", spec.Concurrency)
	checkSLO(s.document, "spec.slo", spec.SLO)
	rangeAt(s.document, "spec.sessionMaxAge", spec.SessionMaxAge, minSessionAge, maxSessionAge)
	s.textAt("spec.sessionPrincipal", spec.SessionPrincipal, badPrincipalHeader)
	checkBreakerValues(s)
	checkTLS(s.document, "spec.tls", spec.TLS)
	checkProbes(s.document, "spec.probes", spec.Probes)
	checkScore(s.document, "spec.score", spec.Score)
	checkTiers(s.document, "spec.tiers", spec.Tiers)
	checkShift(s.document, "spec.shift", spec.Shift)
	checkSuccessorValues(s)
	s.countAt("spec.regions", len(spec.Regions), 1, maxRegions)
	for i, region := range spec.Regions {
		path := item("spec.regions", i)
		s.nameAt(path+".name", region.Name, maxNameBytes)
		s.countAt(path+".endpoints", len(region.Endpoints), 1, maxEndpoints)
		for j, endpoint := range region.Endpoints {
			at := item(path+".endpoints", j)
			s.nameAt(at+".name", endpoint.Name, maxEndpointNameBytes)
			s.textAt(at+".address", endpoint.Address, badEndpointAddress)
		}
	}
}

// badEndpointAddress is badAddress for an address that can be connected to.
func badEndpointAddress(s string) (problem, hint string) {
	if problem, hint = badAddress(s); problem != "" {
		return problem, hint
	}
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Addr().IsUnspecified() {
		return quote(s) + " is an address to listen on, not one to connect to", ""
	}
	return "", ""
}

// checkServer checks the values of an MCPServer together, defaults in place.
func checkServer(s loaded[MCPServer]) {
	check := s.value.Spec.HealthCheck
	if s.clean("spec.healthCheck.interval", "spec.healthCheck.timeout") && check.Timeout > check.Interval {
		s.report("spec.healthCheck.timeout", "", "%s is longer than the interval, %s%s",
			check.Timeout, check.Interval, s.orDefault("spec.healthCheck.interval"))
	}
	checkOutlier(s)
	checkBreaker(s)
	checkHealthTogether(s)
	checkResidency(s)
	regions, endpoints, addresses := firsts{}, firsts{}, firsts{}
	for i, region := range s.value.Spec.Regions {
		path := item("spec.regions", i)
		s.unique(regions, path+".name", "region", region.Name)
		for j, endpoint := range region.Endpoints {
			at := item(path+".endpoints", j)
			// Default names repeat where regions do, which is told once.
			if s.written(at+".name") || s.clean(path+".name") {
				s.unique(endpoints, at+".name", "endpoint", endpoint.Name)
			}
			s.unique(addresses, at+".address", "address", endpoint.Address)
		}
	}
}

// unique reports the second use of a name within one resource.
func (d *document) unique(used firsts, path, what, name string) {
	if !d.clean(path) {
		return
	}
	if first, taken := used.claim(name, d.where(path)); taken {
		d.report(path, "", "%s %s%s is used already, on line %d", what, quote(name), d.orDefault(path), first.Line)
	}
}

// badPrincipalHeader is for the name of a request header by which callers are told
// apart. Headers of the protocol, of HTTP itself and of the gateway say nothing of that.
func badPrincipalHeader(s string) (problem, hint string) {
	ok := s != "" && len(s) <= maxHeaderBytes
	for _, c := range []byte(s) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	if !ok {
		if lower := strings.ToLower(s); lower != s {
			if p, _ := badPrincipalHeader(lower); p == "" {
				hint = meant(lower)
			}
		}
		return fmt.Sprintf("%s is not a header name in lower case: 1 to %d of a-z, 0-9 and -", quote(s), maxHeaderBytes), hint
	}
	for _, reserved := range []string{"mcp-", "x-holdfast-", "x-envoy-"} {
		if strings.HasPrefix(s, reserved) {
			return quote(s) + " does not tell callers apart", ""
		}
	}
	return "", ""
}
