// Package share decides which callers are sent away from a region: a share of them, by a hash of
// the caller, while the region is slow or sick in part, and all of them while it is drained; and which callers are with
// a server's successor. What the shares are is found out elsewhere.
package share

import (
	"fmt"
	"hash/fnv"
	"slices"
	"sync/atomic"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// hundredths is all of the callers.
const hundredths = 100

// Shares are those of all servers. The zero Shares sends nobody away. It is safe for concurrent use.
type Shares struct {
	table atomic.Pointer[map[string][]region]
}

// region is one from which callers are sent away.
type region struct {
	name string
	// seed of the hash of a caller: callers that leave one region are not those that leave another.
	seed    uint64
	away    uint64
	drained bool
}

// Set takes the shares of all servers in place of those before. An error says what is wrong with
// one; then nothing has changed.
func (s *Shares) Set(all []*policyv1.Shares) error {
	table := make(map[string][]region, len(all))
	for _, one := range all {
		var regions []region
		for _, r := range one.GetRegions() {
			if r.GetAway() > hundredths {
				return fmt.Errorf("shares of server %q: %d hundredths of the callers of region %q", one.GetServer(), r.GetAway(), r.GetRegion())
			}
			if r.GetAway() > 0 || r.GetDrained() {
				regions = append(regions, region{r.GetRegion(), seed(one.GetServer(), r.GetRegion()), uint64(r.GetAway()), r.GetDrained()})
			}
		}
		if len(regions) > 0 {
			table[one.GetServer()] = regions
		}
	}
	if len(table) == 0 {
		s.table.Store(nil)
		return nil
	}
	s.table.Store(&table)
	return nil
}

// Choice is where a call may go. Both lists are in the order of the regions that were asked about.
type Choice struct {
	// Preferred are the regions that the caller is not sent away from; nil: all.
	Preferred []string
	// Possible are those where something new may begin, for when no preferred one will do; nil: all.
	Possible []string
}

// Quiet says that nobody is sent away from anywhere. It costs one atomic load.
func (s *Shares) Quiet() bool { return s == nil || s.table.Load() == nil }

// Choose says where a caller's call may go. A caller that is sent away from a region stays away
// while its share grows, and is among the last that return; a share moves nobody who has nowhere else to go.
func (s *Shares) Choose(server string, principal uint64, regions []string) Choice {
	if s.Quiet() {
		return Choice{}
	}
	rules := (*s.table.Load())[server]
	if len(rules) == 0 {
		return Choice{}
	}
	c := Choice{
		Possible:  without(regions, rules, func(r region) bool { return r.drained }),
		Preferred: without(regions, rules, func(r region) bool { return r.drained || position(r.seed, principal) < r.away }),
	}
	if len(c.Possible) == 0 {
		// Envoy knows best what is left of a server that is drained altogether.
		c.Possible = regions
	}
	if len(c.Preferred) == 0 {
		c.Preferred = c.Possible
	}
	if len(c.Preferred) == len(regions) {
		return Choice{}
	}
	return c
}

func without(regions []string, rules []region, left func(region) bool) []string {
	out := make([]string, 0, len(regions))
	for _, name := range regions {
		if !slices.ContainsFunc(rules, func(r region) bool { return r.name == name && left(r) }) {
			out = append(out, name)
		}
	}
	return out
}

func seed(server, region string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(server + "\x00" + region))
	return h.Sum64()
}

// Succession decides which callers of a server are with its successor. The zero Succession has nobody there.
type Succession struct{ seed, share uint64 }

// Between two servers, with a share of the callers in hundredths.
func Between(server, successor string, share uint32) Succession {
	return Succession{seed(server, "successor\x00"+successor), uint64(share)}
}

// Over says whether a caller is with the successor. Whoever is stays there while the share grows. A caller of whom
// nothing is known (0) goes last.
func (s Succession) Over(principal uint64) bool {
	if principal == 0 {
		return s.share >= hundredths
	}
	return position(s.seed, principal) < s.share
}

// position of a caller among all, 0 to 99, the same in every processor. The finaliser is that of
// splitmix64: neighbours among principals are no neighbours here.
func position(seed, principal uint64) uint64 {
	x := seed + principal*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) % hundredths
}
