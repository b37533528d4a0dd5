package limit

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
)

const (
	// PagePath is where a processor shows who uses the most, as JSON: a Page.
	PagePath = "/limits"
	// DefaultPageUses and MaxPageUses are how many keys a Page has; the query n asks for others.
	DefaultPageUses = 20
	MaxPageUses     = 1000
	maxPageBytes    = 1 << 20
)

// Page is what one processor knows of those who are near a limit or over it.
type Page struct {
	// Shared: the uses are those of all processors, counted in Redis.
	Shared bool      `json:"shared"`
	Uses   []PageUse `json:"uses"`
}

// PageUse is one key. What it counts by is there; callers, sessions and arguments are short hashes.
type PageUse struct {
	// Limit is the id of the rate limit, Key the hash of what it counts by.
	Limit     string `json:"limit"`
	Key       string `json:"key"`
	Server    string `json:"server,omitempty"`
	Tool      string `json:"tool,omitempty"`
	Principal string `json:"principal,omitempty"`
	Session   string `json:"session,omitempty"`
	Argument  string `json:"argument,omitempty"`
	// Used requests of those that are taken in any time of the length Per, by all processors
	// together.
	Used     int64  `json:"used"`
	Requests int64  `json:"requests"`
	Per      string `json:"per"`
	// Refused here since the key was last unused; those that a shadow would have refused.
	Refused uint64 `json:"refused"`
	Shadow  bool   `json:"shadow,omitempty"`
}

// Handler serves a Page of an engine; shared says whether Redis counts.
func Handler(engine Engine, shared func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("n"))
		if err != nil || n < 1 {
			n = DefaultPageUses
		}
		page := Page{Shared: shared(), Uses: []PageUse{}}
		for _, u := range engine.Top(min(n, MaxPageUses)) {
			page.Uses = append(page.Uses, PageUse{
				Limit: u.Rule.ID, Key: u.Key.String(), Server: u.Who.Server, Tool: u.Who.Tool,
				Principal: short(u.Who.Principal), Session: short(u.Who.Session), Argument: short(u.Who.Argument),
				Used: u.Used, Requests: u.Rule.Requests, Per: u.Rule.Per.String(), Refused: u.Refused, Shadow: u.Rule.Shadow,
			})
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		// What fails now fails with the connection.
		_ = json.MarshalWrite(w, page)
	})
}

// short is enough of a hash to tell callers apart, and too little to find out what was hashed.
func short(hash uint64) string {
	if hash == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", uint32(hash>>32)) //nolint:gosec // half of it, on purpose
}

// ReadPage reads what Handler writes.
func ReadPage(r io.Reader) (Page, error) {
	var page Page
	if err := json.UnmarshalRead(io.LimitReader(r, maxPageBytes), &page); err != nil {
		return Page{}, fmt.Errorf("reading who is near a limit: %w", err)
	}
	return page, nil
}

// Join puts the pages of several processors together, the n greatest parts of their limits first.
func Join(pages []Page, n int) Page {
	out := Page{Uses: []PageUse{}}
	at := map[string]int{}
	for _, page := range pages {
		out.Shared = out.Shared || page.Shared
		for _, u := range page.Uses {
			i, known := at[u.Key]
			if !known {
				at[u.Key] = len(out.Uses)
				out.Uses = append(out.Uses, u)
				continue
			}
			one := &out.Uses[i]
			one.Refused += u.Refused
			if page.Shared {
				one.Used = max(one.Used, u.Used)
			} else {
				one.Used += u.Used
			}
		}
	}
	sortUses(out.Uses)
	out.Uses = out.Uses[:min(n, len(out.Uses))]
	return out
}

func sortUses(uses []PageUse) {
	slices.SortStableFunc(uses, func(a, b PageUse) int {
		return cmp.Or(cmp.Compare(b.Used*a.Requests, a.Used*b.Requests), cmp.Compare(b.Refused, a.Refused), cmp.Compare(a.Key, b.Key))
	})
}
