package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func key(n int) Key { return Key{byte(n), byte(n >> 8), byte(n >> 16)} }

// admissions checks a window from outside: what was admitted, and when.
type admissions struct {
	at    []time.Duration
	units []int64
}

// within is how many units were admitted in the per before now.
func (a *admissions) within(now, per time.Duration) (sum int64) {
	for i := len(a.at) - 1; i >= 0 && a.at[i] > now-per; i-- {
		sum += a.units[i]
	}
	return sum
}

// TestWindowIsExact: whatever the limit, the pace and the costs, no call that finds room in
// the exact window is refused, and no window has more than a thousandth above the limit.
func TestWindowIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // repeatable on purpose
	for _, limit := range []int64{1, 2, 7, 100, 999, 1000, 1999, 2000, 5000, 12345} {
		rule := &Rule{ID: "r", Requests: limit, Per: time.Second}
		var now time.Duration
		engine := NewMemory(MemoryOptions{Now: func() int64 { return int64(now) }})
		var seen admissions
		highest, refused := int64(0), 0
		for range 40_000 {
			// Bursts and pauses, at about four times the limit.
			now += time.Duration(random.Int64N(int64(time.Second)/(2*limit) + 1))
			if random.IntN(2000) == 0 {
				now += time.Duration(random.Int64N(int64(2 * time.Second)))
			}
			units := 1 + random.Int64N(min(3, limit))
			results := make([]Result, 1)
			before := seen.within(now, rule.Per)
			ok := engine.Take([]Charge{{Rule: rule, Key: key(1), Units: units}}, results)
			if !ok {
				refused++
				if before+units <= limit {
					t.Fatalf("limit %d: %d units refused at %v with %d in the window", limit, units, now, before)
				}
				if results[0].RetryAfter <= 0 || results[0].RetryAfter > rule.Per {
					t.Fatalf("limit %d: told to wait %v", limit, results[0].RetryAfter)
				}
				continue
			}
			seen.at, seen.units = append(seen.at, now), append(seen.units, units)
			highest = max(highest, before+units)
		}
		if most := limit + limit/1000; highest > most || refused == 0 {
			t.Errorf("limit %d: up to %d in a window, %d refused", limit, highest, refused)
		}
	}
}

// TestRetryAfterIsEnough: whoever waits as long as it is told is admitted.
func TestRetryAfterIsEnough(t *testing.T) {
	var now time.Duration
	engine := NewMemory(MemoryOptions{Now: func() int64 { return int64(now) }})
	charges := []Charge{
		{Rule: &Rule{Requests: 3, Per: time.Second}, Key: key(1), Units: 1},
		{Rule: &Rule{Requests: 5, Per: time.Minute}, Key: key(2), Units: 1},
	}
	results := make([]Result, 2)
	for range 40 {
		if engine.Take(charges, results) {
			now += 10 * time.Millisecond
			continue
		}
		now += max(results[0].RetryAfter, results[1].RetryAfter)
		if !engine.Take(charges, results) {
			t.Fatalf("refused after the wait: %+v", results)
		}
	}
}

// TestAllOrNone: a call that one rule refuses takes nothing of the others.
func TestAllOrNone(t *testing.T) {
	engine := NewMemory(MemoryOptions{})
	tight := Charge{Rule: &Rule{Requests: 1, Per: time.Hour}, Key: key(1), Units: 1}
	wide := Charge{Rule: &Rule{Requests: 10, Per: time.Hour}, Key: key(2), Units: 1}
	results := make([]Result, 2)
	for range 5 {
		engine.Take([]Charge{tight, wide}, results)
	}
	if results[1].Used != 1 || results[1].Over || !results[0].Over {
		t.Errorf("%+v", results)
	}
}

// TestShadow: a shadow counts what it would have admitted, and refuses nothing.
func TestShadow(t *testing.T) {
	engine := NewMemory(MemoryOptions{})
	charges := []Charge{{Rule: &Rule{Requests: 2, Per: time.Hour, Shadow: true}, Key: key(1), Units: 1}}
	results := make([]Result, 1)
	for i := range 5 {
		if !engine.Take(charges, results) {
			t.Fatal("a shadow refused a call")
		}
		if results[0].Over != (i >= 2) || results[0].Used != min(int64(i)+1, 2) {
			t.Errorf("call %d: %+v", i, results[0])
		}
	}
}

// TestShares: the shares of all processors add up to the limit, and nobody has none.
func TestShares(t *testing.T) {
	for _, limit := range []int64{1, 2, 3, 10, 101} {
		for of := 1; of <= 5; of++ {
			sum := int64(0)
			for rank := range of {
				sum += Place{Rank: rank, Of: of}.share(&Rule{Requests: limit})
			}
			if sum != max(limit, int64(of)) {
				t.Errorf("limit %d of %d: the shares are %d together", limit, of, sum)
			}
		}
	}
	if got := (Place{Rank: -1}).share(&Rule{Requests: 101, Instances: 2}); got != 50 {
		t.Errorf("with nobody known of two: %d", got)
	}
}

// TestConcurrentTakes: of many goroutines with keys in all shards exactly the limit is admitted,
// and none waits for another for ever.
func TestConcurrentTakes(t *testing.T) {
	engine := NewMemory(MemoryOptions{})
	const keys, limit = 50, 100
	rule, all := &Rule{Requests: limit, Per: time.Hour}, &Rule{Requests: 1 << 40, Per: time.Hour}
	var admitted [keys]atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(3, uint64(g))) //nolint:gosec // repeatable on purpose
			results := make([]Result, 2)
			for range 3 * keys * limit / 8 {
				k := random.IntN(keys)
				charges := []Charge{{Rule: rule, Key: key(k + 1), Units: 1}, {Rule: all, Key: key(random.IntN(1000) * 256), Units: 1}}
				if engine.Take(charges, results) {
					admitted[k].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for k := range keys {
		if n := admitted[k].Load(); n > limit {
			t.Errorf("key %d: %d admitted of %d", k, n, limit)
		}
	}
}

// TestMemoryIsBounded: however many keys callers invent, the memory holds a bounded number, and
// one that is at its limit stays there.
func TestMemoryIsBounded(t *testing.T) {
	engine := NewMemory(MemoryOptions{})
	rule := &Rule{Requests: 2, Per: time.Hour}
	results := make([]Result, 1)
	busy := []Charge{{Rule: rule, Key: key(0), Units: 2}}
	engine.Take(busy, results)
	for i := 1; i < 300_000; i++ {
		engine.Take([]Charge{{Rule: rule, Key: key(i), Units: 1}}, results)
	}
	if got := engine.Keys(); got > shards*maxKeys {
		t.Errorf("%d keys", got)
	}
	if engine.Take(busy, results) {
		t.Error("the key at its limit was forgotten before those below")
	}
}

// TestTop: the greatest part of a limit stands first, and unused keys go.
func TestTop(t *testing.T) {
	var now time.Duration
	engine := NewMemory(MemoryOptions{Now: func() int64 { return int64(now) }})
	results := make([]Result, 1)
	for i, units := range []int64{1, 9, 5} {
		charge := Charge{Rule: &Rule{Requests: 10, Per: time.Second}, Key: key(i), Units: units, Who: Who{Tool: "t", Principal: 7}}
		engine.Take([]Charge{charge}, results)
	}
	top := engine.Top(2)
	if len(top) != 2 || top[0].Used != 9 || top[1].Used != 5 || top[0].Who.Tool != "t" {
		t.Errorf("%+v", top)
	}
	now += time.Minute
	if top := engine.Top(2); len(top) != 0 || engine.Keys() != 0 {
		t.Errorf("after a minute %+v, %d keys", top, engine.Keys())
	}
}

// TestTakeAllocatesNothing once a key is known.
func TestTakeAllocatesNothing(t *testing.T) {
	engine := NewMemory(MemoryOptions{})
	charges := []Charge{
		{Rule: &Rule{Requests: 100, Per: time.Second}, Key: key(1), Units: 1},
		{Rule: &Rule{Requests: 100_000, Per: time.Hour}, Key: key(2), Units: 1},
	}
	results := make([]Result, 2)
	for range 2000 {
		engine.Take(charges, results)
	}
	if n := testing.AllocsPerRun(1000, func() { engine.Take(charges, results) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkMemoryTake(b *testing.B) {
	engine := NewMemory(MemoryOptions{})
	charges := []Charge{
		{Rule: &Rule{Requests: 100, Per: time.Second}, Key: key(1), Units: 1},
		{Rule: &Rule{Requests: 1_000_000, Per: time.Hour}, Key: key(2), Units: 1},
	}
	results := make([]Result, 2)
	b.ReportAllocs()
	for b.Loop() {
		engine.Take(charges, results)
	}
}
