package results_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// tally counts what an Observer is told.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what]++
}

func (c *tally) Looked(tier results.Tier, outcome string) {
	c.add("look " + string(tier) + " " + outcome)
}

func (c *tally) Kept(tier results.Tier, outcome string) {
	c.add("keep " + string(tier) + " " + outcome)
}

func (c *tally) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

// eventually waits for what happens behind the calls' back.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func connect(t *testing.T, address string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: address, DialTimeout: time.Second, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// processor is a Store that runs beside others on one Redis.
func processor(t *testing.T, address string) (*results.Store, *tally, context.CancelFunc) {
	t.Helper()
	count := &tally{}
	s := open(t, results.Options{Client: connect(t, address), Observer: count})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, count, stop
}

func keys(t *testing.T, client *redis.Client) []string {
	t.Helper()
	found, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestProcessorsShareResults(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	client := connect(t, address)
	first, wrote, stopFirst := processor(t, address)
	put(first, "from_before", "a", `{"n":0}`)
	eventually(t, "it is in Redis", func() bool { return wrote.of("keep redis ok") == 1 })
	second, looked, _ := processor(t, address)
	eventually(t, "the other has read what there was", func() bool { return second.Entries() == 1 })

	put(first, "get_order", "a", `{"n":1}`)
	put(first, "list_orders", "a", `{"n":2}`)
	eventually(t, "both are in Redis", func() bool { return wrote.of("keep redis ok") == 3 })
	t.Run("the other finds it, and has it from then on", func(t *testing.T) {
		for range 3 {
			if got, _ := get(t, second, "get_order", "a", time.Hour); got != `{"n":1}` {
				t.Fatalf("%q", got)
			}
		}
		if looked.of("look redis hit") != 1 || looked.of("look memory hit") != 2 || looked.of("look memory miss") != 1 {
			t.Errorf("%v", looked.counts)
		}
	})
	t.Run("no longer than it may", func(t *testing.T) {
		for _, key := range keys(t, client) {
			if left, err := client.TTL(t.Context(), key).Result(); err != nil || left <= 0 || left > time.Hour {
				t.Errorf("%s stays for %v, %v", key, left, err)
			}
			if strings.Contains(key, "get_order") {
				t.Errorf("%s tells the tool", key)
			}
		}
	})
	t.Run("one that begins anew is warm", func(t *testing.T) {
		stopFirst()
		third, count, _ := processor(t, address)
		eventually(t, "it has read all", func() bool { return third.Entries() == 3 })
		if got, _ := get(t, third, "list_orders", "a", time.Hour); got != `{"n":2}` || count.of("look redis hit") != 0 {
			t.Errorf("%q, %v", got, count.counts)
		}
	})
	t.Run("a purge reaches both tiers", func(t *testing.T) {
		second.Adopt([]*outcomev1.Purge{purge(9, "orders", "get_order")})
		if got, _ := get(t, second, "get_order", "a", time.Hour); got != "" {
			t.Errorf("%q", got)
		}
		if got, _ := get(t, second, "list_orders", "a", time.Hour); got != `{"n":2}` {
			t.Errorf("another tool's: %q", got)
		}
		eventually(t, "it is deleted", func() bool { return len(keys(t, client)) == 2 })
		put(second, "get_order", "a", `{"n":3}`)
		eventually(t, "the new one is there", func() bool { return len(keys(t, client)) == 3 })
		// One that has not heard of the purge does not find the new one, nor the old.
		behind, _, _ := processor(t, address)
		if got, _ := get(t, behind, "get_order", "a", time.Hour); got != "" {
			t.Errorf("%q", got)
		}
	})
	t.Run("what is out of date here alone is not shared", func(t *testing.T) {
		before := len(keys(t, client))
		writes := looked.of("keep redis ok")
		second.Invalidate("orders", "", "the list has changed")
		if got, _ := get(t, second, "list_orders", "a", time.Hour); got != "" {
			t.Errorf("%q", got)
		}
		put(second, "list_orders", "a", `{"n":4}`)
		put(second, "get_order", "b", `{"n":5}`)
		second.Adopt([]*outcomev1.Purge{purge(10, "orders", "")})
		put(second, "list_orders", "a", `{"n":6}`)
		eventually(t, "only what came after the fleet's number is written", func() bool { return looked.of("keep redis ok") == writes+1 })
		if n := len(keys(t, client)); n > before+1 {
			t.Errorf("%d results in Redis, before %d", n, before)
		}
	})
}

// What stands in Redis is believed only where it can be what was put there.
func TestForeignWordsInRedis(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	client := connect(t, address)
	s, wrote, _ := processor(t, address)
	put(s, "get_order", "a", `{"mine":1}`)
	put(s, "get_order", "b", `{"theirs":1}`)
	eventually(t, "both are in Redis", func() bool { return wrote.of("keep redis ok") == 2 })
	var values []string
	all := keys(t, client)
	for _, key := range all {
		value, err := client.Get(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	for name, bad := range map[string][2]string{
		"changed places": {values[1], values[0]},
		"cut short":      {values[0][:len(values[0])/2], values[1][:8]},
		"nonsense":       {"nonsense", ""},
		"too long":       {strings.Repeat("x", 1<<20), strings.Repeat("x", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			for i, key := range all {
				if err := client.Set(t.Context(), key, bad[i], time.Hour).Err(); err != nil {
					t.Fatal(err)
				}
			}
			fresh := open(t, results.Options{Client: client})
			for _, key := range []string{"a", "b"} {
				if got, _ := get(t, fresh, "get_order", key, time.Hour); got != "" {
					t.Errorf("%s: %q", key, got)
				}
			}
		})
	}
	// Nor does it make a processor that warms up fall over, or remember it.
	fresh, _, _ := processor(t, address)
	put(s, "get_order", "c", `{"good":1}`)
	eventually(t, "the good one is read", func() bool {
		got, _ := get(t, fresh, "get_order", "c", time.Hour)
		return got == `{"good":1}`
	})
	if n := fresh.Entries(); n != 1 {
		t.Errorf("%d results", n)
	}
}

// A Redis that dies costs no result that is in memory, and no call more than a moment.
func TestRedisGone(t *testing.T) {
	address, child := stacktest.StartRedis(t)
	s, count, _ := processor(t, address)
	put(s, "get_order", "a", `{"n":1}`)
	eventually(t, "it is in Redis", func() bool { return count.of("keep redis ok") == 1 })
	if err := child.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, _ := get(t, s, "get_order", "a", time.Hour); got != `{"n":1}` {
		t.Errorf("%q", got)
	}
	for range 50 {
		if got, _ := get(t, s, "get_order", "b", time.Hour); got != "" {
			t.Errorf("%q", got)
		}
	}
	put(s, "get_order", "c", `{"n":2}`)
	eventually(t, "the failure is counted", func() bool { return count.of("keep redis failed") == 1 })
	if count.of("look redis failed") != 50 {
		t.Errorf("%v", count.counts)
	}
	if err := child.Start(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	eventually(t, "results are shared again", func() bool {
		put(s, "get_order", "d", `{"n":3}`)
		return count.of("keep redis ok") > 1
	})
}
