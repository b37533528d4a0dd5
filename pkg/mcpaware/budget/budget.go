// Package budget bounds retries, so that a server which fails under load is not asked more
// for failing. In any ten seconds the retries of a server's calls are at most a share of these
// calls and a floor on top.
//
// The share is each action's own (an action is what a tool rule or a method leads to), the floor is the
// server's: a tool that fails for good spends its own share and the floor, and leaves the
// other tools the shares that carry them over when a region is lost.
//
// Counts are those of one processor. Envoy spreads calls and tries evenly over the processors,
// so what holds for each holds for all, with the floor divided among them.
package budget

import (
	"hash/fnv"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const hundred = 100

// maxAccounts bounds the memory; further actions of a server share one account.
const maxAccounts = 16384

// Limit is one server's budget.
type Limit struct {
	// Percent is retries in a hundred calls.
	Percent int64
	// Floor is retries on top, of all processors together.
	Floor int64
}

// Share says whose share of which server's budget a call belongs to.
type Share struct {
	Server string
	// Action is what Key makes of the action's route.
	Action uint64
}

// Key names an action by its route; never 0.
func Key(route string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(route)) // never fails
	return max(h.Sum64(), 1)
}

// Options of a Budget.
type Options struct {
	// Instances is how many processors share the floor; nil or below 1: this one alone.
	Instances func() int
	// Now gives the time; nil: time.Now.
	Now func() time.Time
}

// Budget counts calls and retries of all servers. It is safe for concurrent use; counting
// takes no lock and allocates nothing for actions that it knows.
type Budget struct {
	opts  Options
	epoch time.Time
	spent atomic.Uint64

	// accounts is replaced as a whole, under mu.
	accounts atomic.Pointer[map[Share]*account]
	mu       sync.Mutex
}

// account is one action's share of its server's budget.
type account struct {
	// retries are those within the share.
	calls, retries window
	percent        atomic.Int64
	server         *server
}

// server is what its actions have together.
type server struct {
	calls, retries window
	// floor counts the retries that were in no action's share.
	floor window
	// last is the bucket of the newest retry: mostly there has been none for long, and nothing is added up.
	last atomic.Int64
}

// New makes a Budget in which nothing has been counted.
func New(opts Options) *Budget {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	b := &Budget{opts: opts, epoch: opts.Now()}
	b.accounts.Store(&map[Share]*account{})
	return b
}

// Call counts a call and says whether it may be retried.
func (b *Budget) Call(share Share, limit Limit) bool {
	at := b.at()
	a := b.account(share, at)
	a.percent.Store(limit.Percent)
	a.calls.add(at)
	a.server.calls.add(at)
	floor := b.ownFloor(limit.Floor)
	if floor > 0 && at-a.server.last.Load() >= buckets {
		return true
	}
	if (a.hasShare(at) || a.server.floor.atLeast(at) < floor) && a.server.within(at, limit.Percent, floor) {
		return true
	}
	b.spent.Add(1)
	return false
}

// Retry counts a retry of a call that was allowed to have some: those under way when the budget is spent
// still happen.
func (b *Budget) Retry(share Share) {
	at := b.at()
	a := b.account(share, at)
	a.server.last.Store(at)
	a.server.retries.add(at)
	if a.hasShare(at) {
		a.retries.add(at)
		return
	}
	a.server.floor.add(at)
}

// Spent is how many calls were refused retries so far.
func (b *Budget) Spent() uint64 { return b.spent.Load() }

// hasShare says that the action's own share has a retry left.
func (a *account) hasShare(at int64) bool {
	return (a.retries.atLeast(at)+1)*hundred <= a.percent.Load()*a.calls.atMost(at)
}

// within says that one more retry keeps the whole server's budget. The shares alone do not: calls leave
// their windows before the retries that they allowed.
func (s *server) within(at, percent, floor int64) bool {
	return (s.retries.atLeast(at)+1-floor)*hundred <= percent*s.calls.atMost(at)
}

// ownFloor is this processor's part of a floor, rounded up: none is left without.
func (b *Budget) ownFloor(floor int64) int64 {
	if b.opts.Instances == nil {
		return floor
	}
	n := max(int64(b.opts.Instances()), 1)
	return (floor + n - 1) / n
}

// at is the number of the current bucket. Windows that were never used hold number 0.
func (b *Budget) at() int64 { return int64(b.opts.Now().Sub(b.epoch)/bucketSpan) + buckets }

func (b *Budget) account(share Share, at int64) *account {
	if a := (*b.accounts.Load())[share]; a != nil {
		return a
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := *b.accounts.Load()
	if a := known[share]; a != nil {
		return a
	}
	next := maps.Clone(known)
	maps.DeleteFunc(next, func(_ Share, a *account) bool { return a.idle(at) })
	if len(next) >= maxAccounts {
		share.Action = 0
		if a := next[share]; a != nil {
			return a
		}
	}
	a := &account{server: serverOf(next, share.Server)}
	next[share] = a
	b.accounts.Store(&next)
	return a
}

// idle says that nothing of the account is in its window any more.
func (a *account) idle(at int64) bool {
	return a.calls.atLeast(at)+a.retries.atLeast(at)+a.server.retries.atLeast(at) == 0
}

// serverOf finds a server at any of its accounts.
func serverOf(accounts map[Share]*account, name string) *server {
	for share, a := range accounts {
		if share.Server == name {
			return a.server
		}
	}
	s := &server{}
	s.last.Store(-buckets)
	return s
}
