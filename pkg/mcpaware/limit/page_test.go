package limit_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
)

func page(t *testing.T, engine limit.Engine, query string) limit.Page {
	t.Helper()
	recorder := httptest.NewRecorder()
	limit.Handler(engine, func() bool { return false }).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, limit.PagePath+query, nil))
	got, err := limit.ReadPage(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestPage: processors show who uses the most, callers by short hashes, and their pages add up.
func TestPage(t *testing.T) {
	rule := &limit.Rule{ID: "shopmax rateLimits[0]", Requests: 10, Per: time.Hour}
	charge := func(caller byte, units int64) limit.Charge {
		return limit.Charge{Rule: rule, Key: limit.Key{caller}, Units: units, Who: limit.Who{Principal: uint64(caller) << 40, Tool: "report"}}
	}
	results := make([]limit.Result, 1)
	a, b := limit.NewMemory(limit.MemoryOptions{}), limit.NewMemory(limit.MemoryOptions{})
	for _, c := range []limit.Charge{charge(1, 3), charge(2, 4), charge(2, 8)} {
		a.Take([]limit.Charge{c}, results)
	}
	for _, c := range []limit.Charge{charge(1, 3), charge(3, 1)} {
		b.Take([]limit.Charge{c}, results)
	}
	if got := page(t, a, "?n=1"); len(got.Uses) != 1 || got.Uses[0].Principal != "00000200" || got.Uses[0].Refused != 1 || got.Uses[0].Used != 4 {
		t.Errorf("%+v", got)
	}
	got := limit.Join([]limit.Page{page(t, a, ""), page(t, b, "")}, 2).Uses
	if len(got) != 2 || got[0].Used != 6 || got[0].Principal != "00000100" || got[1].Used != 4 || got[1].Requests != 10 || got[1].Tool != "report" {
		t.Errorf("%+v", got)
	}
}
