package results_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock moves by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t *testing.T, o results.Options) *results.Store {
	t.Helper()
	s, err := results.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func hash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func get(t *testing.T, s *results.Store, tool, key string, maxAge time.Duration) (string, time.Duration) {
	t.Helper()
	entry, age, ok := s.Get(t.Context(), "orders", tool, s.Slot("orders", tool, hash(tool+key)), maxAge)
	if !ok {
		return "", 0
	}
	return string(entry.GetResult()), age
}

func put(s *results.Store, tool, key, result string) {
	s.Put("orders", tool, s.Slot("orders", tool, hash(tool+key)), time.Hour, []byte(result))
}

func TestRemembersForItsTime(t *testing.T) {
	c := &clock{now: time.Now()}
	s := open(t, results.Options{Now: c.Now})
	put(s, "get_order", "a", `{"n":1}`)
	c.pass(10 * time.Minute)
	if got, age := get(t, s, "get_order", "a", time.Hour); got != `{"n":1}` || age != 10*time.Minute {
		t.Errorf("%q, %v old", got, age)
	}
	// What an operator has made shorter since counts.
	if got, _ := get(t, s, "get_order", "a", 9*time.Minute); got != "" {
		t.Errorf("%q is too old", got)
	}
	for name, other := range map[string][2]string{"arguments": {"get_order", "b"}, "tool": {"list_orders", "a"}} {
		if got, _ := get(t, s, other[0], other[1], time.Hour); got != "" {
			t.Errorf("of other %s: %q", name, got)
		}
	}
	c.pass(51 * time.Minute)
	if got, _ := get(t, s, "get_order", "a", 24*time.Hour); got != "" {
		t.Errorf("%q is over", got)
	}
	if slot := s.Slot("orders", "get_order", []byte("short")); slot != nil {
		t.Error("a slot without a hash")
	}
	s.Put("orders", "get_order", []byte("x"), time.Hour, []byte(`{}`))
	if _, _, ok := s.Get(t.Context(), "orders", "get_order", []byte("x"), time.Hour); ok {
		t.Error("found by what is no slot")
	}
}

// However much callers ask for, memory is bounded, and what is asked for again and again stays.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 1 << 20
	s := open(t, results.Options{MaxBytes: bound})
	large := `{"x":"` + strings.Repeat("x", 10<<10) + `"}`
	put(s, "get_order", "regular", large)
	for i := range 5000 {
		put(s, "get_order", fmt.Sprint("made up ", i), large)
		if i%10 == 0 {
			get(t, s, "get_order", "regular", time.Hour)
		}
	}
	// Eviction is made good in the background.
	for deadline := time.Now().Add(30 * time.Second); s.Bytes() > bound; {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes, at most %d", s.Bytes(), bound)
		}
		s.Slot("orders", "x", hash("x"))
		get(t, s, "get_order", "regular", time.Hour)
	}
	if got, _ := get(t, s, "get_order", "regular", time.Hour); got == "" {
		t.Error("a result in use gave way to those that nobody asks for")
	}
}

func TestAcceptable(t *testing.T) {
	for result, want := range map[string]bool{
		`{"content":[]}`:                                   true,
		`{"content":[],"isError":false}`:                   true,
		`{"content":[],"resultType":"complete"}`:           true,
		` {"content":[]}`:                                  true,
		`{"content":[],"isError":true}`:                    false,
		`{"content":[],"isError":"true"}`:                  false,
		`{"resultType":"input_required","requestState":1}`: false,
		`{"resultType":"task","taskId":"1"}`:               false,
		`{"task":{"taskId":"1"}}`:                          false,
		`[]`:                                               false,
		`null`:                                             false,
		``:                                                 false,
		`{}}`:                                              false,
		`{"x":"` + strings.Repeat("x", results.MaxResultBytes) + `"}`: false,
	} {
		if err := results.Acceptable([]byte(result)); (err == nil) != want {
			t.Errorf("%.40s: %v", result, err)
		}
	}
}

func purge(serial uint64, server, tool string) *outcomev1.Purge {
	return &outcomev1.Purge{Serial: serial, Server: server, Tool: tool}
}

// A purge makes what was remembered before it unreachable, whatever is under way.
func TestPurge(t *testing.T) {
	for name, c := range map[string]struct {
		purge               *outcomev1.Purge
		order, list, others bool
	}{
		"of a tool":           {purge(5, "orders", "get_order"), false, true, true},
		"of a server":         {purge(5, "orders", ""), false, false, true},
		"of everything":       {purge(5, "", ""), false, false, false},
		"of another server":   {purge(5, "inventory", ""), true, true, false},
		"that was heard of":   {purge(0, "", ""), true, true, true},
		"with a made-up word": {purge(1<<63|5, "", ""), true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, results.Options{})
			put(s, "get_order", "a", `{}`)
			put(s, "list_orders", "a", `{}`)
			other := s.Slot("inventory", "stock", hash("stock"))
			s.Put("inventory", "stock", other, time.Hour, []byte(`{}`))
			underWay := s.Slot("orders", "get_order", hash("get_orderb"))
			s.Adopt([]*outcomev1.Purge{c.purge})
			s.Adopt([]*outcomev1.Purge{c.purge})
			s.Put("orders", "get_order", underWay, time.Hour, []byte(`{}`))
			order, _ := get(t, s, "get_order", "a", time.Hour)
			list, _ := get(t, s, "list_orders", "a", time.Hour)
			_, _, others := s.Get(t.Context(), "inventory", "stock", s.Slot("inventory", "stock", hash("stock")), time.Hour)
			late, _ := get(t, s, "get_order", "b", time.Hour)
			if (order != "") != c.order || (list != "") != c.list || others != c.others {
				t.Errorf("left: get_order %q, list_orders %q, stock %v", order, list, others)
			}
			if (late != "") != c.order {
				t.Errorf("the answer to a call under way: %q", late)
			}
			if !c.others && !c.order && s.Entries() > 1 {
				t.Errorf("%d results are held in vain", s.Entries())
			}
			put(s, "get_order", "a", `{"new":1}`)
			if got, _ := get(t, s, "get_order", "a", time.Hour); got != `{"new":1}` {
				t.Errorf("after the purge: %q", got)
			}
		})
	}
}

// What one processor finds out of date is so at once, and told until the fleet has a number for it.
func TestOutdated(t *testing.T) {
	s := open(t, results.Options{})
	put(s, "get_order", "a", `{}`)
	if got := s.Outdated(); len(got) != 0 {
		t.Fatalf("%v", got)
	}
	s.Invalidate("orders", "", "the list has changed")
	if got, _ := get(t, s, "get_order", "a", time.Hour); got != "" {
		t.Error("given all the same")
	}
	put(s, "get_order", "a", `{"new":1}`)
	id := s.Outdated()[0].GetId()
	for range 2 {
		if got := s.Outdated(); len(got) != 1 || got[0].GetId() != id || id == 0 || got[0].GetServer() != "orders" || got[0].GetReason() != "the list has changed" {
			t.Fatalf("told %v", got)
		}
	}
	s.Adopt([]*outcomev1.Purge{purge(3, "inventory", "")})
	if len(s.Outdated()) != 1 {
		t.Error("another server's purge says nothing of it")
	}
	s.Adopt([]*outcomev1.Purge{purge(3, "inventory", ""), purge(4, "orders", "")})
	if got := s.Outdated(); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	// Servers can say it as often as they like.
	for i := range 1000 {
		s.Invalidate(fmt.Sprint("server-", i), "", "x")
	}
	if got := s.Outdated(); len(got) > 65 {
		t.Errorf("%d are told", len(got))
	}
	if got, _ := get(t, s, "get_order", "a", time.Hour); got != "" {
		t.Error("with too many to tell, everything is out of date")
	}
}

// Get and Put from many goroutines, with purges between them.
func TestConcurrent(t *testing.T) {
	s := open(t, results.Options{MaxBytes: 1 << 20})
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			for i := range 500 {
				key := s.Slot("orders", "get_order", hash(fmt.Sprint(i%50)))
				s.Put("orders", "get_order", key, time.Hour, []byte(fmt.Sprintf(`{"n":%d}`, i%50)))
				if e, _, ok := s.Get(context.Background(), "orders", "get_order", key, time.Hour); ok && !bytes.Equal(e.GetResult(), fmt.Appendf(nil, `{"n":%d}`, i%50)) {
					t.Errorf("%s for %d", e.GetResult(), i%50)
				}
				if i%100 == 0 {
					s.Adopt([]*outcomev1.Purge{purge(uint64(g*1000+i), "orders", "")}) //nolint:gosec // small
				}
			}
		})
	}
	group.Wait()
}
