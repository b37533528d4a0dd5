package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// NoPrincipalHeader is the value of GatewaySpec.PrincipalHeader that tells callers apart by address alone.
const NoPrincipalHeader = "none"

// byWords are the values of RateLimit.By that are no pointers.
func byWords() []string { return []string{"principal", "session", "server", "tool"} }

func checkCallers(g loaded[Gateway]) {
	spec := g.value.Spec
	g.textAt("spec.principalHeader", spec.PrincipalHeader, badPrincipalHeader)
	g.textsAt("spec.trustedProxies", spec.TrustedProxies, maxProxies, badPrefix)
}

// badPrefix is for a range of addresses (CIDR).
func badPrefix(s string) (problem, hint string) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		if addr, err := netip.ParseAddr(s); err == nil {
			return quote(s) + " is not a range of addresses", meant(netip.PrefixFrom(addr, addr.BitLen()).String())
		}
		return quote(s) + " is not a range of addresses such as 10.0.0.0/8", ""
	}
	if whole := prefix.Masked(); whole.String() != s {
		return quote(s) + " has bits beyond its length, or is not in its usual form", meant(whole.String())
	}
	return "", ""
}

// checkRateLimits checks one list of limits.
func checkRateLimits(doc *document, path string, limits []RateLimit) {
	doc.countAt(path, len(limits), 0, maxRateLimits)
	if len(limits) > maxRateLimits {
		return
	}
	used := firsts{}
	for i, l := range limits {
		at := item(path, i)
		rangeAt(doc, at+".requests", count(l.Requests), 1, maxRequests)
		rangeAt(doc, at+".per", l.Per, minWindow, maxWindow)
		checkBy(doc, at+".by", l.By)
		if !doc.clean(at) {
			continue
		}
		by := slices.Sorted(slices.Values(l.By))
		if first, taken := used.claim(fmt.Sprintf("%s %q %v", l.Per, by, l.Shadow), doc.where(at)); taken {
			doc.report(at, "only the lower one counts: keep that", "there is a limit with this per and by already, on line %d", first.Line)
		}
	}
}

func checkBy(doc *document, path string, by []string) {
	doc.countAt(path, len(by), 0, maxBy)
	used := firsts{}
	for i, word := range by {
		at := item(path, i)
		doc.textAt(at, word, badBy)
		if first, taken := used.claim(word, doc.where(at)); taken && doc.clean(at) {
			doc.report(at, "", "%s is in the list already, on line %d", quote(word), first.Line)
		}
	}
}

// badBy is for a word, or a pointer that leads somewhere.
func badBy(s string) (problem, hint string) {
	if strings.HasPrefix(s, "/") {
		return badPointer(s)
	}
	if slices.Contains(byWords(), s) {
		return "", ""
	}
	return quote(s) + " is not " + oneOf(byWords()) + ", nor a JSON pointer such as /order/id", didYouMean(s, byWords())
}

// checkCost finds calls that could never be admitted.
func checkCost(r loaded[MCPRoute], path string, rule ToolRule) {
	check := func(at string, limits []RateLimit) {
		for i, l := range limits {
			if r.clean(at, path+".cost") && rule.Cost > l.Requests {
				r.report(item(at, i)+".requests", "", "%d is less than one call costs: cost of %s is %d", l.Requests, strings.TrimPrefix(path, "spec."), rule.Cost)
			}
		}
	}
	check(path+".rateLimits", rule.RateLimits)
	check("spec.rateLimits", r.value.Spec.RateLimits)
}
