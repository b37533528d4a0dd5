package catalog_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
)

// clock is a hand-moved clock.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{now: time.Date(2026, 8, 22, 12, 0, 0, 0, time.UTC)} }

func entry(key, result string, asOf time.Time) *policyv1.CatalogEntry {
	return &policyv1.CatalogEntry{Key: key, Result: []byte(result), AsOf: timestamppb.New(asOf)}
}

func TestStoreKeepsTheNewest(t *testing.T) {
	c := newClock()
	s := catalog.New(catalog.Options{Now: func() time.Time { return c.now }})
	steps := []struct {
		result string
		age    time.Duration
		took   bool
		kept   string
	}{
		{"first", time.Minute, true, "first"},
		{"older", time.Hour, false, "first"},
		{"same age", time.Minute, false, "first"},
		{"newer", time.Second, true, "newer"},
		{"from the future", -time.Hour, true, "from the future"},
		{"farther future", -2 * time.Hour, false, "from the future"},
	}
	for _, step := range steps {
		if took := s.Put(entry("k", step.result, c.now.Add(-step.age))); took != step.took {
			t.Errorf("Put(%q) = %v", step.result, took)
		}
		got, age, ok := s.Get("k", 24*time.Hour)
		if !ok || string(got.GetResult()) != step.kept || age < 0 {
			t.Errorf("after %q: %q, age %v, %v; want %q", step.result, got.GetResult(), age, ok, step.kept)
		}
	}
	c.now = c.now.Add(time.Second)
	if !s.Put(entry("k", "next", c.now)) {
		t.Error("an entry from the future keeps newer ones out")
	}
}

func TestStoreAge(t *testing.T) {
	c := newClock()
	s := catalog.New(catalog.Options{Now: func() time.Time { return c.now }})
	s.Put(entry("k", "r", c.now))
	c.now = c.now.Add(time.Minute)
	for maxAge, want := range map[time.Duration]bool{0: false, -1: false, time.Second: false, time.Minute: true, time.Hour: true} {
		got, age, ok := s.Get("k", maxAge)
		if ok != want || (ok && (age != time.Minute || string(got.GetResult()) != "r")) {
			t.Errorf("Get within %v: %v, age %v", maxAge, ok, age)
		}
	}
	s.Remove("k")
	s.Remove("never there")
	if _, _, ok := s.Get("k", time.Hour); ok {
		t.Error("a removed entry is still there")
	}
}

func TestStoreTakesNoHalfEntries(t *testing.T) {
	c := newClock()
	s := catalog.New(catalog.Options{MaxBytes: 1000, Now: func() time.Time { return c.now }})
	for name, bad := range map[string]*policyv1.CatalogEntry{
		"nil":       nil,
		"no key":    entry("", "r", c.now),
		"no result": entry("k", "", c.now),
		"no time":   {Key: "k", Result: []byte("r")},
		"too large": entry("k", strings.Repeat("x", 1000), c.now),
	} {
		if s.Put(bad) {
			t.Errorf("%s: taken", name)
		}
	}
}

// Callers who make up credentials must not push out what all callers share.
func TestStoreBounds(t *testing.T) {
	c := newClock()
	s := catalog.New(catalog.Options{MaxEntries: 3, MaxBytes: 3000, Now: func() time.Time { return c.now }})
	put := func(key string, bytes int) {
		c.now = c.now.Add(time.Second)
		if !s.Put(entry(key, strings.Repeat("x", bytes), c.now)) {
			t.Fatalf("%s not taken", key)
		}
	}
	for _, key := range []string{"a", "b", "c"} {
		put(key, 10)
	}
	for i := range 50 {
		put(fmt.Sprintf("x&caller=%d", i), 10)
	}
	if got := len(s.Shared()); got != 3 {
		t.Fatalf("%d shared entries, want 3", got)
	}
	if _, _, ok := s.Get("x&caller=49", time.Hour); !ok {
		t.Error("the newest private entry is gone")
	}
	if _, _, ok := s.Get("x&caller=46", time.Hour); ok {
		t.Error("more private entries than allowed")
	}
	s.Get("a", time.Hour)
	put("d", 10)
	if _, _, ok := s.Get("a", time.Hour); !ok {
		t.Error("the entry used last made room")
	}
	if _, _, ok := s.Get("b", time.Hour); ok {
		t.Error("the least recently used entry is still there")
	}
	put("large", 2500)
	if got := s.Shared(); len(got) != 1 || got[0].GetKey() != "large" {
		t.Errorf("entries beyond the bytes allowed: %d", len(got))
	}
}

func TestStoreConcurrently(t *testing.T) {
	s := catalog.New(catalog.Options{MaxEntries: 8})
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 500 {
				key := fmt.Sprintf("k%d", (worker+i)%16)
				s.Put(entry(key, "r", start.Add(time.Duration(i))))
				s.Get(key, time.Hour)
				if i%50 == 0 {
					s.Remove(key)
					s.Shared()
				}
			}
		})
	}
	wg.Wait()
	if got := len(s.Shared()); got > 8 {
		t.Errorf("%d entries, want at most 8", got)
	}
}

func TestAcceptable(t *testing.T) {
	tests := map[string]struct {
		method, result string
		ok             bool
	}{
		"tools":                   {"tools/list", `{"tools":[{"name":"a"}]}`, true},
		"complete":                {"tools/list", `{"tools":[1],"resultType":"complete","nextCursor":""}`, true},
		"discover":                {"server/discover", `{"supportedVersions":["2026-07-28"],"capabilities":{}}`, true},
		"prompts":                 {"prompts/list", `{"prompts":[{}]}`, true},
		"resources":               {"resources/list", `{"resources":[{}]}`, true},
		"templates":               {"resources/templates/list", `{"resourceTemplates":[{}]}`, true},
		"tool call":               {"tools/call", `{"tools":[1]}`, false},
		"unknown method":          {"x", `{"tools":[1]}`, false},
		"array of another method": {"tools/list", `{"prompts":[1]}`, false},
		"not an array":            {"tools/list", `{"tools":{"0":1}}`, false},
		"no JSON":                 {"tools/list", `{"tools":[1]`, false},
		"no object":               {"tools/list", `[1]`, false},
		"input required":          {"tools/list", `{"tools":[1],"resultType":"input_required"}`, false},
		"unknown type":            {"tools/list", `{"tools":[1],"resultType":"degraded"}`, false},
		"error result":            {"tools/list", `{"tools":[1],"isError":true}`, false},
		"too large":               {"tools/list", `{"tools":["` + strings.Repeat("x", catalog.MaxResultBytes) + `"]}`, false},
	}
	for name, test := range tests {
		if err := catalog.Acceptable(test.method, []byte(test.result)); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := catalog.Acceptable("tools/list", []byte(`{"tools":[ ]}`)); !errors.Is(err, catalog.ErrEmptyList) {
		t.Errorf("empty list: %v", err)
	}
}

func TestKey(t *testing.T) {
	base := catalog.Request{Server: "orders", Method: "tools/list", Revision: "2026-07-28"}
	with := func(change func(*catalog.Request)) catalog.Request {
		r := base
		change(&r)
		return r
	}
	none := map[string][]string{}
	distinct := []struct {
		request catalog.Request
		headers map[string][]string
		shared  bool
	}{
		{base, none, true},
		{with(func(r *catalog.Request) { r.Server = "orders-v2" }), none, true},
		{with(func(r *catalog.Request) { r.Method = "prompts/list" }), none, true},
		{with(func(r *catalog.Request) { r.Revision = "2025-11-25" }), none, true},
		{with(func(r *catalog.Request) { r.HasCursor = true }), none, true},
		{with(func(r *catalog.Request) { r.HasCursor, r.Cursor = true, "&caller=x" }), none, true},
		{base, map[string][]string{"authorization": {"Bearer a"}}, false},
		{base, map[string][]string{"authorization": {"Bearer b"}}, false},
		{base, map[string][]string{"authorization": {"Bearer a", "Bearer b"}}, false},
		{base, map[string][]string{"authorization": {""}}, false},
		{base, map[string][]string{"cookie": {"Bearer a"}}, false},
		{base, map[string][]string{"x-api-key": {"1:acookie:1:b"}}, false},
		{base, map[string][]string{"mcp-session-id": {"s"}}, false},
		{base, map[string][]string{"mcp-session-id": {"s"}, "authorization": {"Bearer a"}}, false},
	}
	seen := map[string]int{}
	for i, test := range distinct {
		values := func(name string) []string { return test.headers[name] }
		key, shared := catalog.Key(test.request, values)
		if shared != test.shared || catalog.Private(key) == shared {
			t.Errorf("case %d: key %q, shareable %v, private %v", i, key, shared, catalog.Private(key))
		}
		if other, taken := seen[key]; taken {
			t.Errorf("cases %d and %d share the key %q", other, i, key)
		}
		seen[key] = i
		if again, _ := catalog.Key(test.request, values); again != key {
			t.Errorf("case %d: keys %q and %q", i, key, again)
		}
		if strings.Contains(key, "Bearer") || len(key) > 200 {
			t.Errorf("case %d: key %q", i, key)
		}
	}
}
