package limit_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instance is one processor's engine on a Redis, with a clock of its own that is off by skew.
type instance struct {
	*limit.Redis
	log *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), of)
}

func open(t testing.TB, address, name string, place limit.Place, skew time.Duration) *instance {
	t.Helper()
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{address}, MaxRetries: -1, ContextTimeoutEnabled: true, DialTimeout: time.Second})
	start := time.Now()
	log := &lines{}
	memory := limit.NewMemory(limit.MemoryOptions{
		Place: func() limit.Place { return place }, Now: func() int64 { return int64(time.Since(start) + time.Hour + skew) },
	})
	engine, err := limit.NewRedis(limit.RedisOptions{
		Client: client, Memory: memory, Instance: name, Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	i := &instance{Redis: engine, log: log}
	eventually(t, "the engine finds Redis", engine.Shared)
	return i
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after a minute", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// taken is one call that was admitted or refused: it was decided between asked and told.
type taken struct {
	asked, told time.Duration
	admitted    bool
}

// attack calls as fast as it can from n callers an instance until the time is over.
func attack(instances []*instance, charge limit.Charge, callers int, pause time.Duration, until <-chan struct{}) []taken {
	start := time.Now()
	var mu sync.Mutex
	var all []taken
	var wg sync.WaitGroup
	for _, i := range instances {
		for range callers {
			wg.Go(func() {
				results := make([]limit.Result, 1)
				for {
					select {
					case <-until:
						return
					case <-time.After(pause):
					}
					one := taken{asked: time.Since(start)}
					one.admitted = i.Take([]limit.Charge{charge}, results)
					one.told = time.Since(start)
					mu.Lock()
					all = append(all, one)
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	return all
}

// most is how many calls were certainly admitted in one window of the length per: those that were asked
// after its begin and told before its end.
func most(all []taken, per time.Duration) (highest int) {
	for _, first := range all {
		if !first.admitted {
			continue
		}
		n := 0
		for _, one := range all {
			if one.admitted && one.asked >= first.asked && one.told < first.asked+per {
				n++
			}
		}
		highest = max(highest, n)
	}
	return highest
}

func after(d time.Duration) <-chan struct{} {
	done := make(chan struct{})
	time.AfterFunc(d, func() { close(done) })
	return done
}

// TestSharedLimitIsExact: two processors whose clocks are half a second apart admit no more
// than the limit together in any window, and refuse no call that finds room.
func TestSharedLimitIsExact(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	const requests, per = 100, time.Second
	a := open(t, address, "a", limit.Place{Rank: 0, Of: 2}, 0)
	b := open(t, address, "b", limit.Place{Rank: 1, Of: 2}, 500*time.Millisecond)
	charge := limit.Charge{Rule: &limit.Rule{ID: "r", Requests: requests, Per: per}, Key: limit.Key{1}, Units: 1}
	all := attack([]*instance{a, b}, charge, 4, 2*time.Millisecond, after(5*time.Second))
	if a.Failures()+b.Failures() > 0 {
		t.Fatalf("%d and %d calls without an answer of Redis", a.Failures(), b.Failures())
	}
	if got := most(all, per); got > requests {
		t.Errorf("%d admitted within %v, the limit is %d", got, per, requests)
	}
	refused := 0
	for _, r := range all {
		if r.admitted {
			continue
		}
		refused++
		// All that may have been in the window when this one was decided.
		n := 0
		for _, one := range all {
			if one.admitted && one.told >= r.asked-per && one.asked <= r.told {
				n++
			}
		}
		if n < requests {
			t.Fatalf("refused at %v with at most %d in the window", r.asked, n)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: the attack was too weak")
	}
	t.Logf("%d calls, %d refused", len(all), refused)
}

// TestRedisScript: several rules, costs, shadows, and times to wait.
func TestRedisScript(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	e := open(t, address, "a", limit.Place{Rank: 0, Of: 1}, 0)
	tight := limit.Charge{Rule: &limit.Rule{Requests: 5, Per: time.Hour}, Key: limit.Key{1}, Units: 2}
	wide := limit.Charge{Rule: &limit.Rule{Requests: 5000, Per: time.Hour}, Key: limit.Key{2}, Units: 2}
	shadow := limit.Charge{Rule: &limit.Rule{Requests: 3, Per: time.Hour, Shadow: true}, Key: limit.Key{3}, Units: 2}
	results := make([]limit.Result, 3)
	for i := range 4 {
		admitted := e.Take([]limit.Charge{tight, wide, shadow}, results)
		if admitted != (i < 2) {
			t.Errorf("call %d admitted: %v, %+v", i, admitted, results)
		}
	}
	want := []limit.Result{{Limit: 5, Used: 4, Over: true}, {Limit: 5000, Used: 4}, {Limit: 3, Used: 2, Over: true}}
	for i := range want {
		if wait := results[i].RetryAfter; results[i].Over != (wait > 0) || wait > time.Hour || (wait > 0 && wait < 59*time.Minute) {
			t.Errorf("limit %d: wait %v", i, wait)
		}
		results[i].RetryAfter = 0
		if results[i] != want[i] {
			t.Errorf("limit %d: %+v, want %+v", i, results[i], want[i])
		}
	}
	// More than the limit takes all of it.
	huge := limit.Charge{Rule: tight.Rule, Key: limit.Key{4}, Units: 99}
	if !e.Take([]limit.Charge{huge}, results[:1]) || results[0].Used != 5 || e.Take([]limit.Charge{huge}, results[:1]) {
		t.Errorf("%+v", results[0])
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close() //nolint:errcheck // a test
	keys, err := client.Keys(t.Context(), "holdfast:limit:0*").Result()
	if err != nil || len(keys) != 4 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, key := range keys {
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Hour+time.Minute {
			t.Errorf("%s lives for %v", key, ttl)
		}
	}
}

// TestRedisAway: while Redis is killed the processors keep to their shares, calls go on, and in no window that
// holds the loss or the return is more than the limit admitted.
func TestRedisAway(t *testing.T) {
	address, child := stacktest.StartRedis(t)
	const requests, per, callers = 200, 3 * time.Second, 4
	a := open(t, address, "a", limit.Place{Rank: 0, Of: 2}, 0)
	b := open(t, address, "b", limit.Place{Rank: 1, Of: 2}, 0)
	charge := limit.Charge{Rule: &limit.Rule{ID: "r", Requests: requests, Per: per}, Key: limit.Key{1}, Units: 1}
	stop := make(chan struct{})
	var all []taken
	done := make(chan struct{})
	go func() {
		defer close(done)
		all = attack([]*instance{a, b}, charge, callers, 5*time.Millisecond, stop)
	}()
	<-time.After(per)
	begin := time.Now()
	if _, err := child.Kill(); err != nil {
		t.Error(err)
	}
	eventually(t, "both notice", func() bool { return !a.Shared() && !b.Shared() })
	<-time.After(2 * per)
	gone := time.Since(begin)
	if err := start(child); err != nil {
		t.Error(err)
	}
	eventually(t, "both come back", func() bool { return a.Shared() && b.Shared() })
	<-time.After(per)
	close(stop)
	<-done
	if got := most(all, per); got > requests {
		t.Errorf("%d admitted within %v, the limit is %d", got, per, requests)
	}
	admitted := 0
	for _, one := range all {
		if one.admitted {
			admitted++
		}
	}
	// Two windows passed without Redis, and as much as the limit had room in each.
	if least := requests * int((gone+2*per)/per) * 8 / 10; admitted < least {
		t.Errorf("%d admitted of %d, want at least %d: calls were refused for Redis", admitted, len(all), least)
	}
	for _, i := range []*instance{a, b} {
		if i.log.count("Redis is away") != 1 || i.log.count("after_absence=true") != 1 {
			t.Errorf("not one line each way:\n%s", i.log.text.String())
		}
	}
	t.Logf("%d calls, %d admitted", len(all), admitted)
}

func start(child *supervise.Child) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return child.Start(ctx)
}

// TestCluster: the keys of a message may be on different servers; what one of them refuses is
// given back by the others.
func TestCluster(t *testing.T) {
	address, _ := stacktest.StartRedis(t, "--cluster-enabled", "yes")
	one := redis.NewClient(&redis.Options{Addr: address})
	defer one.Close() //nolint:errcheck // a test
	if err := one.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: []string{address}, IsClusterMode: true, MaxRetries: -1, ContextTimeoutEnabled: true})
	defer client.Close() //nolint:errcheck // a test
	eventually(t, "the Cluster is up", func() bool { return client.Set(t.Context(), "x", 1, 0).Err() == nil })
	e, err := limit.NewRedis(limit.RedisOptions{
		Client: client, Cluster: true, Memory: limit.NewMemory(limit.MemoryOptions{}), Instance: "a", Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "the engine finds the Cluster", e.Shared)
	tight := limit.Charge{Rule: &limit.Rule{Requests: 2, Per: time.Hour}, Key: limit.Key{1}, Units: 1}
	wide := limit.Charge{Rule: &limit.Rule{Requests: 10, Per: time.Hour}, Key: limit.Key{200, 7}, Units: 1}
	results := make([]limit.Result, 2)
	for i := range 6 {
		if admitted := e.Take([]limit.Charge{wide, tight}, results); admitted != (i < 2) {
			t.Errorf("call %d: %v, %+v", i, admitted, results)
		}
	}
	if results[0].Used != 2 || results[0].Over || !results[1].Over || e.Failures() != 0 {
		t.Errorf("%+v, %d failures", results, e.Failures())
	}
}
