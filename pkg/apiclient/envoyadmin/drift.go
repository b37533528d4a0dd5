package envoyadmin

import (
	"cmp"
	"slices"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// State of one resource.
type State string

// States.
const (
	// Same: Envoy has it in the version that it is meant to have; endpoints, of which
	// Envoy keeps no version, by their name, which changes with their cluster.
	Same State = "same"
	// Different: in another version.
	Different State = "different"
	// Missing: it is meant to have it, and has not.
	Missing State = "missing"
	// Extra: it has it, and is not meant to.
	Extra State = "extra"
)

// Compared is one resource as it is meant and as it is.
type Compared struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	State State  `json:"state"`
	// Want and Have are versions; empty where there is none.
	Want string `json:"want,omitempty"`
	Have string `json:"have,omitempty"`
	// Note says more where that is known: what is warming, why Envoy refused a change.
	Note string `json:"note,omitempty"`
}

// Compare puts what an Envoy has beside what it is meant to have, in order of type and
// name. It is pure.
func Compare(want []*adminv1.NodeResource, have []Resource) []Compared {
	found := map[[2]string]Resource{}
	for _, r := range have {
		found[[2]string{r.Type, r.Name}] = r
	}
	out := make([]Compared, 0, len(want))
	for _, w := range want {
		key := [2]string{w.GetType(), w.GetName()}
		r, ok := found[key]
		delete(found, key)
		c := Compared{Type: w.GetType(), Name: w.GetName(), State: Same, Want: w.GetVersion(), Have: r.Version, Note: note(r)}
		switch {
		case !ok || (r.Version == "" && r.Type != Endpoints):
			c.State = Missing
		case r.Version != c.Want && r.Type != Endpoints:
			c.State = Different
		}
		out = append(out, c)
	}
	for _, r := range found {
		out = append(out, Compared{Type: r.Type, Name: r.Name, State: Extra, Have: cmp.Or(r.Version, r.Warming), Note: note(r)})
	}
	slices.SortFunc(out, func(a, b Compared) int {
		return cmp.Or(cmp.Compare(rank(a.Type), rank(b.Type)), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func note(r Resource) string {
	switch {
	case r.Failed != "":
		return "refused: " + r.Failed
	case r.Warming != "":
		return "warming"
	default:
		return ""
	}
}

// rank is the order in which a request meets them.
func rank(kind string) int {
	order := []string{Listeners, Routes, Clusters, Endpoints}
	if i := slices.Index(order, kind); i >= 0 {
		return i
	}
	return len(order)
}
