package names

import (
	"slices"
	"strings"
)

// Each subset of endpoints costs memory in every worker of Envoy, and the more the more regions there are.
const (
	// exactRegions is the number of a server's regions up to which a call can be kept away from any
	// combination of them: 14 subsets of four regions.
	exactRegions = 4
	// pairRegions is the number up to which it has two regions left at least, where more than one
	// is to be avoided: 44 subsets of eight.
	pairRegions = 8
)

// Subset is the load balancer's metadata for a call that may go to some of a server's regions only: the good
// ones, of which there is at least one, in the order in which they are preferred. What is left keeps
// its order and its part in retries. Of more than four regions with several to be avoided it is the
// two most preferred good ones alone, of more than eight the most preferred one.
func Subset(server string, regions, good []string) (key, value string) {
	bad := slices.DeleteFunc(slices.Clone(regions), func(r string) bool { return slices.Contains(good, r) })
	switch {
	case len(regions) <= exactRegions, len(bad) == 1:
		return LBAvoid, regionSet(server, bad)
	case len(regions) <= pairRegions:
		return LBRegion, regionSet(server, good[:min(len(good), 2)])
	}
	return LBRegion, regionSet(server, good[:1])
}

// SubsetValues are what an endpoint in a region carries under LBAvoid and LBRegion, so that every Subset which
// a call may go there with is found.
func SubsetValues(server string, regions []string, region string) (avoid, only []string) {
	others := slices.DeleteFunc(slices.Clone(regions), func(r string) bool { return r == region })
	if len(regions) <= exactRegions {
		for mask := 1; mask < 1<<len(others); mask++ {
			var set []string
			for i, r := range others {
				if mask>>i&1 == 1 {
					set = append(set, r)
				}
			}
			avoid = append(avoid, regionSet(server, set))
		}
		slices.Sort(avoid)
		return avoid, nil
	}
	only = []string{regionSet(server, []string{region})}
	for _, r := range others {
		avoid = append(avoid, regionSet(server, []string{r}))
		if len(regions) <= pairRegions {
			only = append(only, regionSet(server, []string{region, r}))
		}
	}
	return avoid, only
}

// regionSet names regions of a server, in whatever order they come. The server stands in front since a call
// may go on to a second one, whose regions of the same names are none of its business.
func regionSet(server string, regions []string) string {
	regions = slices.Clone(regions)
	slices.Sort(regions)
	return server + ":" + strings.Join(regions, ",")
}
