package budget

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// clock is moved by hand.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time { return c.now }

var (
	orders = Share{Server: "orders", Action: Key("orders.get")}
	other  = Share{Server: "orders", Action: Key("orders.list")}
	usual  = Limit{Percent: 20, Floor: 100}
)

// event is one call or retry in a history.
type event struct {
	at    time.Time
	retry bool
}

// TestNeverMoreThanTheBudget: whatever calls come when, and whatever share of them fails, the
// retries of any ten seconds that end with a retry are at most the ratio of that time's calls plus the floor.
// Calls are tried once more at once, so that none is under way when the budget ends.
func TestNeverMoreThanTheBudget(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			limit := Limit{Percent: random.Int64N(101), Floor: random.Int64N(150)}
			c := newClock()
			b := New(Options{Now: c.Now})
			shares := []Share{orders, other}
			var history []event
			for range 5000 {
				c.now = c.now.Add(time.Duration(random.ExpFloat64() * float64(random.IntN(40)+1) * float64(time.Millisecond)))
				if random.IntN(500) == 0 {
					c.now = c.now.Add(time.Duration(random.IntN(15)) * time.Second)
				}
				share := shares[random.IntN(len(shares))]
				history = append(history, event{at: c.now})
				if b.Call(share, limit) && random.IntN(100) < 70 {
					b.Retry(share)
					history = append(history, event{at: c.now, retry: true})
				}
			}
			requireBudget(t, history, limit)
		})
	}
}

func requireBudget(t *testing.T, history []event, limit Limit) {
	t.Helper()
	first, calls, retries, most := 0, int64(0), int64(0), int64(0)
	for _, e := range history {
		for ; history[first].at.Before(e.at.Add(-Span)); first++ {
			if history[first].retry {
				retries--
			} else {
				calls--
			}
		}
		if !e.retry {
			calls++
			continue
		}
		retries++
		most = max(most, retries)
		if retries*100 > limit.Percent*calls+limit.Floor*100 {
			t.Fatalf("%d retries of %d calls in ten seconds, limit %+v", retries, calls, limit)
		}
	}
	if limit.Floor > 0 && most < limit.Floor {
		t.Errorf("at most %d retries in ten seconds: the floor of %d was not used up, so the test shows nothing", most, limit.Floor)
	}
}

// TestFloorComesBack: what was spent is there again ten seconds later.
func TestFloorComesBack(t *testing.T) {
	c := newClock()
	b := New(Options{Now: c.Now})
	limit := Limit{Floor: 3}
	retries := 0
	for range 10 {
		if b.Call(orders, limit) {
			b.Retry(orders)
			retries++
		}
	}
	if retries != 3 || b.Spent() != 7 {
		t.Fatalf("%d retries, %d calls without, want 3 and 7", retries, b.Spent())
	}
	c.now = c.now.Add(Span - time.Second)
	if b.Call(orders, limit) {
		t.Error("a retry is allowed before the ten seconds are over")
	}
	c.now = c.now.Add(time.Second + 2*bucketSpan)
	if !b.Call(orders, limit) {
		t.Error("no retry is allowed after ten seconds")
	}
}

// TestLoneToolLeavesTheOthersTheirShare: a tool that fails for good spends its share and the
// floor; another tool can still lose a region for two seconds at any rate of calls.
func TestLoneToolLeavesTheOthersTheirShare(t *testing.T) {
	for _, rate := range []int{20, 100, 1000} {
		c := newClock()
		b := New(Options{Now: c.Now})
		for range 10 * rate {
			c.now = c.now.Add(time.Second / time.Duration(rate))
			if b.Call(orders, usual) {
				b.Retry(orders)
			}
			b.Call(other, usual)
		}
		if b.Call(orders, usual) {
			t.Errorf("%d calls a second: the failing tool may still retry", rate)
		}
		saved := 0
		for range 2 * rate {
			if b.Call(other, usual) {
				b.Retry(other)
				saved++
			}
		}
		// Half a second of the ten is still being counted.
		if saved*100 < 2*rate*94 {
			t.Errorf("%d calls a second: %d of %d calls of the lost region were retried", rate, saved, 2*rate)
		}
	}
}

// TestRegionLossFitsIntoTheBudget works through the loss of a hung region: calls fail until the
// endpoint is ejected, which takes one per-try timeout and five of them, and all of these are retried.
func TestRegionLossFitsIntoTheBudget(t *testing.T) {
	const perTry, row = 800 * time.Millisecond, 5
	for _, rate := range []int{1, 10, 50, 200, 1000, 5000} {
		c := newClock()
		b := New(Options{Now: c.Now})
		interval := time.Second / time.Duration(rate)
		for range 10 * rate {
			c.now = c.now.Add(interval)
			b.Call(orders, usual)
		}
		// Retries of a call begin one per-try timeout after it; ejection follows the fifth.
		var due []time.Time
		failed, lost := 0, c.now
		ejected := lost.Add(perTry + row*interval)
		for c.now.Before(ejected) {
			c.now = c.now.Add(interval)
			for len(due) > 0 && !due[0].After(c.now) {
				b.Retry(orders)
				due = due[1:]
			}
			if b.Call(orders, usual) {
				due = append(due, c.now.Add(perTry))
			} else {
				failed++
			}
		}
		if failed > 0 {
			t.Errorf("%d calls a second: %d calls were refused a retry before the region was out", rate, failed)
		}
	}
}

func TestInstancesDivideTheFloor(t *testing.T) {
	n := 4
	b := New(Options{Now: newClock().Now, Instances: func() int { return n }})
	allowed := func(floor int64) int {
		share, count := Share{Server: fmt.Sprint(n, floor)}, 0
		for b.Call(share, Limit{Floor: floor}) {
			b.Retry(share)
			count++
		}
		return count
	}
	for _, c := range []struct {
		n     int
		floor int64
		want  int
	}{{4, 100, 25}, {3, 100, 34}, {7, 1, 1}, {0, 10, 10}, {2, 0, 0}} {
		n = c.n
		if got := allowed(c.floor); got != c.want {
			t.Errorf("%d instances, floor %d: %d retries, want %d", c.n, c.floor, got, c.want)
		}
	}
}

// TestAccountsAreBounded: actions that are gone leave nothing behind, and too many at a time share one account.
func TestAccountsAreBounded(t *testing.T) {
	c := newClock()
	b := New(Options{Now: c.Now})
	for i := range 300 {
		b.Call(Share{Server: "orders", Action: uint64(i) + 1}, usual)
	}
	c.now = c.now.Add(2 * Span)
	b.Call(Share{Server: "orders", Action: 1000}, usual)
	if n := len(*b.accounts.Load()); n != 1 {
		t.Errorf("%d accounts after all but one are idle", n)
	}
	full := make(map[Share]*account, maxAccounts)
	for i := range maxAccounts {
		a := &account{server: &server{}}
		a.calls.add(b.at())
		full[Share{Server: "full", Action: uint64(i) + 1}] = a
	}
	b.accounts.Store(&full)
	for i := range 10 {
		b.Call(Share{Server: "new", Action: uint64(i) + 1}, usual)
	}
	if n := len(*b.accounts.Load()); n != maxAccounts+1 {
		t.Errorf("%d accounts, want %d", n, maxAccounts+1)
	}
}

// TestConcurrentCounts: no event is lost however many count at once.
func TestConcurrentCounts(t *testing.T) {
	b := New(Options{Now: newClock().Now})
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				b.Call(orders, usual)
				b.Retry(other)
			}
		})
	}
	wg.Wait()
	at := b.at()
	a, o := b.account(orders, at), b.account(other, at)
	if a.server != o.server {
		t.Fatal("two accounts of a server have a floor each")
	}
	if calls, retries := a.calls.atMost(at), o.retries.atLeast(at)+o.server.floor.atLeast(at); calls != workers*each || retries != workers*each {
		t.Errorf("%d calls and %d retries, want %d each", calls, retries, workers*each)
	}
}

func TestSlowCallerCountsNothing(t *testing.T) {
	var w window
	w.add(100 + buckets)
	w.add(100)
	if got := w.atLeast(100 + buckets); got != 1 {
		t.Errorf("%d events, want 1", got)
	}
}

func TestKeyIsNeverZero(t *testing.T) {
	if Key("") == 0 || Key("a") == Key("b") {
		t.Error("keys do not tell routes apart")
	}
}

func BenchmarkCall(b *testing.B) { benchmark(b, false) }

func BenchmarkCallWhileRetrying(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, retrying bool) {
	budget := New(Options{Now: newClock().Now})
	budget.Call(orders, usual)
	if retrying {
		budget.Retry(orders)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.Call(orders, usual)
		}
	})
}
