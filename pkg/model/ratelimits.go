package model

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// RateLimit bounds requests in any window of a length.
type RateLimit struct {
	// ID is where it is written: "Gateway rateLimits[0]", "shopmax tools[0].rateLimits[1]".
	ID string
	// Key is a hash of all that says what is counted together: counts survive a change of Requests.
	Key      uint64
	Requests int
	Per      time.Duration
	// By are words and JSON pointers; see config.RateLimit.
	By     []string
	Shadow bool
}

// Callers says who counts as one caller.
type Callers struct {
	// Header in lower case; empty for addresses alone.
	Header         string
	TrustedProxies []string
}

func callers(g config.GatewaySpec) Callers {
	c := Callers{Header: g.PrincipalHeader, TrustedProxies: g.TrustedProxies}
	if c.Header == config.NoPrincipalHeader {
		c.Header = ""
	}
	return c
}

// rateLimits gives the limits of a scope, such as one route, whose list is written at a place.
func rateLimits(scope, place string, list []config.RateLimit) []RateLimit {
	var out []RateLimit
	for i, l := range list {
		by := slices.Sorted(slices.Values(l.By))
		sum := sha256.Sum256(fmt.Appendf(nil, "%q|%d|%q|%t", scope, l.Per, by, l.Shadow))
		out = append(out, RateLimit{
			ID: fmt.Sprintf("%srateLimits[%d]", place, i), Key: binary.BigEndian.Uint64(sum[:]),
			Requests: l.Requests, Per: time.Duration(l.Per), By: l.By, Shadow: l.Shadow,
		})
	}
	return out
}

// ruleLimits counts by what the rule matches: its place in the list may change.
func ruleLimits(route string, r Rule, list []config.RateLimit) []RateLimit {
	scope := fmt.Sprintf("rule %q %q %q %q", route, r.Glob, r.Regex, r.Arguments)
	return rateLimits(scope, route+" "+r.ID+".", list)
}

func discoverLimit(route string, d config.DiscoverLimit) RateLimit {
	list := []config.RateLimit{{Requests: d.Requests, Per: d.Per, By: []string{"principal"}}}
	out := rateLimits("discover "+route, "", list)[0]
	out.ID = route + " discoverLimit"
	return out
}
