// Package fleet tells the other processors, through the control plane, what the tools
// answered here and which breakers are held here, and brings in what they tell
// (outcomev1.Outcomes). It has goroutines and a memory of its own: no call waits for
// it, and while the control plane is away this processor decides alone.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/told"
)

const (
	// summaryInterval is how often there is something to say at most, signInterval at least.
	summaryInterval = time.Second
	signInterval    = 5 * time.Second
	// backoffBase to backoffMax are the pauses between attempts to connect.
	backoffBase = 100 * time.Millisecond
	backoffMax  = 5 * time.Second
	// maxFleetBytes bounds one Fleet.
	maxFleetBytes = 8 << 20
)

// Windows are the answers that are counted here; see outcome.Window.
type Windows interface {
	// Drain gives what was observed here since the call before.
	Drain() []*outcomev1.Count
	// Merge counts what others observed.
	Merge(counts []*outcomev1.Count)
}

// Breakers are those held here; see breaker.Set.
type Breakers interface {
	// List gives those that are not closed, and those closed since the call before.
	List() []*outcomev1.Breaker
	// Adopt takes what the fleet says; nil says that this processor is alone.
	Adopt(fleet *outcomev1.Fleet)
	// Override replaces the operators' words in force.
	Override(overrides []*outcomev1.Override)
}

// Results are those that are remembered here; see results.Store.
type Results interface {
	// Outdated gives what is out of date here and in no purge of the fleet yet.
	Outdated() []*outcomev1.Outdated
	// Adopt takes the purges in force.
	Adopt(purges []*outcomev1.Purge)
}

// Options of a Client. Conn, Processor, Windows and Breakers are required.
type Options struct {
	// Conn leads to the control plane; it may be down.
	Conn grpc.ClientConnInterface
	// Processor is this instance's name, unique in the fleet.
	Processor string
	Windows   Windows
	Breakers  Breakers
	// Results may be nil: none are remembered.
	Results Results
	// StateDir keeps what operators said, for a processor that starts while the control plane
	// is away; empty keeps nothing.
	StateDir string
	// Counted is shown what was observed here, once a second, connected or not; nil for nobody.
	Counted func([]*outcomev1.Count)
	// Told is what else the control plane is told; nil: nothing.
	Told *told.Collector
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Client is one processor's part in the exchange. Run may be called once; Connected and
// Processors are safe for concurrent use.
type Client struct {
	opts      Options
	api       outcomev1.OutcomesClient
	log       *slog.Logger
	connected atomic.Bool
	// overrides are those on disk; they belong to Run's goroutine.
	overrides []*outcomev1.Override
	purges    []*outcomev1.Purge
	// processors there are, by the last word of the fleet.
	processors atomic.Int64
	// place is this one's index among them, -1 where it is not among them.
	place atomic.Int64
}

// New makes a Client, and puts in force what operators said before the last stop. What
// cannot be read is logged and passed over: the control plane says it again.
func New(opts Options) (*Client, error) {
	if opts.Conn == nil || opts.Processor == "" || opts.Windows == nil || opts.Breakers == nil {
		return nil, errors.New("fleet client: connection, processor, windows and breakers are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Told == nil {
		opts.Told = &told.Collector{}
	}
	if opts.Counted == nil {
		opts.Counted = func([]*outcomev1.Count) {}
	}
	if opts.Results == nil {
		opts.Results = noResults{}
	}
	c := &Client{opts: opts, api: outcomev1.NewOutcomesClient(opts.Conn), log: opts.Logger}
	if opts.StateDir != "" {
		saved, err := load(opts.StateDir)
		if err != nil {
			c.log.Warn("saved breaker overrides are not usable", "error", err)
		}
		c.overrides, c.purges = saved.GetOverrides(), saved.GetPurges()
		opts.Breakers.Override(c.overrides)
		opts.Results.Adopt(c.purges)
	}
	return c, nil
}

// Connected says whether the fleet has answered on the stream that is open now.
func (c *Client) Connected() bool { return c.connected.Load() }

// Processors is the last known number of processors, this one included; 0 before the first word of the fleet.
func (c *Client) Processors() int { return int(c.processors.Load()) }

// Place is the index of this processor among the last known ones in order of name, -1 where it
// is not known, and their number as Processors gives it.
func (c *Client) Place() (rank, of int) {
	of = c.Processors()
	if of == 0 {
		return -1, 0
	}
	return int(c.place.Load()), of
}

// link is one connection's two ways between the goroutine that has the windows and the
// one that waits for the network.
type link struct {
	// summaries has room for one: what cannot be sent is joined with what comes next.
	summaries chan *outcomev1.Summary
	fleets    chan *outcomev1.Fleet
	ended     chan error
	cancel    context.CancelFunc
}

// Run takes part until ctx ends. It returns nil then. What was observed is taken out of
// the windows every second whether or not anybody listens: nobody wants it late.
func (c *Client) Run(ctx context.Context) error {
	r := run{Client: c, retry: time.NewTimer(0)}
	defer r.retry.Stop()
	defer r.hangUp()
	tick := time.NewTicker(summaryInterval)
	defer tick.Stop()
	for {
		// With no link these channels are nil, and nothing comes of them.
		var fleets chan *outcomev1.Fleet
		var ended chan error
		if r.link != nil {
			fleets, ended = r.link.fleets, r.link.ended
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.retry.C:
			r.dial(ctx)
		case <-tick.C:
			r.summarise()
		case fleet := <-fleets:
			r.take(fleet)
		case err := <-ended:
			r.lost(ctx, err)
		}
	}
}

// run is the state of Run.
type run struct {
	*Client
	link *link
	// pending is what the link has not taken yet.
	pending *outcomev1.Summary
	// said is when a summary was handed to the link, and the breakers it had.
	said     time.Time
	breakers []*outcomev1.Breaker
	retry    *time.Timer
	attempt  int
	// told: this outage is in the log.
	told bool
}

func (r *run) dial(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l := &link{summaries: make(chan *outcomev1.Summary, 1), fleets: make(chan *outcomev1.Fleet), ended: make(chan error, 1), cancel: cancel}
	go func() { l.ended <- r.exchange(ctx, l) }()
	r.link, r.said = l, time.Time{}
	// A new connection knows nothing: it is told at once who is there.
	r.summarise()
}

// summarise takes out what was observed, and offers it to the link.
func (r *run) summarise() {
	counts := r.opts.Windows.Drain()
	r.opts.Counted(counts)
	breakers := r.opts.Breakers.List()
	loads, calls := r.opts.Told.Drain()
	if r.link == nil {
		return
	}
	now := time.Now()
	next := &outcomev1.Summary{Processor: r.opts.Processor, Counts: counts, Breakers: breakers, Loads: loads, Calls: calls, Outdated: r.opts.Results.Outdated()}
	if r.pending != nil {
		// The network is slow. Counts that it did not take are late already.
		next.Breakers = joined(r.pending.GetBreakers(), breakers)
		told.Join(r.pending, next)
	}
	same := slices.EqualFunc(next.GetBreakers(), r.breakers, func(a, b *outcomev1.Breaker) bool { return proto.Equal(a, b) })
	if len(counts)+len(loads)+len(calls)+len(next.GetOutdated()) == 0 && same && r.pending == nil && now.Sub(r.said) < signInterval {
		return
	}
	select {
	case r.link.summaries <- next:
		r.pending, r.said, r.breakers = nil, now, next.GetBreakers()
	default:
		r.pending = next
	}
}

// joined is what is said now, and of what was said before the breakers that have closed since:
// they are told of once only.
func joined(before, now []*outcomev1.Breaker) []*outcomev1.Breaker {
	type key struct{ server, tool, region string }
	known := make(map[key]bool, len(now))
	for _, b := range now {
		known[key{b.GetServer(), b.GetTool(), b.GetRegion()}] = true
	}
	for _, b := range before {
		closed := b.GetState() == outcomev1.BreakerState_BREAKER_STATE_CLOSED
		if closed && !known[key{b.GetServer(), b.GetTool(), b.GetRegion()}] {
			now = append(now, b)
		}
	}
	return now
}

// take brings in what the others say.
func (r *run) take(fleet *outcomev1.Fleet) {
	if !r.connected.Swap(true) {
		r.log.Info("fleet joined", "processors", len(fleet.GetProcessors()))
	}
	r.place.Store(int64(slices.Index(fleet.GetProcessors(), r.opts.Processor)))
	r.processors.Store(int64(len(fleet.GetProcessors())))
	r.attempt, r.told = 0, false
	r.opts.Windows.Merge(fleet.GetCounts())
	r.opts.Breakers.Override(fleet.GetOverrides())
	r.opts.Results.Adopt(fleet.GetPurges())
	r.keep(fleet)
	r.opts.Breakers.Adopt(fleet)
}

// keep writes down what operators say, and what was purged, where that has changed.
func (c *Client) keep(fleet *outcomev1.Fleet) {
	same := func(a, b *outcomev1.Override) bool { return proto.Equal(a, b) }
	samePurge := func(a, b *outcomev1.Purge) bool { return proto.Equal(a, b) }
	if c.opts.StateDir == "" || slices.EqualFunc(fleet.GetOverrides(), c.overrides, same) && slices.EqualFunc(fleet.GetPurges(), c.purges, samePurge) {
		return
	}
	if err := save(c.opts.StateDir, &outcomev1.Fleet{Overrides: fleet.GetOverrides(), Purges: fleet.GetPurges()}); err != nil {
		c.log.Warn("breaker overrides and purges are in force but not on disk", "error", err)
		return
	}
	c.overrides, c.purges = fleet.GetOverrides(), fleet.GetPurges()
}

// lost goes on alone. What operators have said stays in force until it ends by itself.
func (r *run) lost(ctx context.Context, err error) {
	r.link.cancel()
	r.link, r.pending, r.breakers = nil, nil, nil
	if r.connected.Swap(false) {
		r.opts.Breakers.Adopt(nil)
	}
	level := slog.LevelWarn
	if r.told {
		// One warning an outage: there may be hundreds of attempts.
		level = slog.LevelDebug
	}
	r.told = true
	r.log.Log(ctx, level, "fleet is away; deciding alone", "error", err)
	pause := min(backoffBase<<min(r.attempt, 10), backoffMax)
	r.attempt++
	// Shortened by a random half at most, so that processors do not come back all at once.
	r.retry.Reset(pause/2 + rand.N(pause/2+1)) //nolint:gosec // spreading load needs no secrecy
}

// hangUp ends the connection and waits for its goroutines.
func (r *run) hangUp() {
	if r.link == nil {
		return
	}
	r.link.cancel()
	//nolint:errcheck // that it was cancelled
	<-r.link.ended
}

// exchange runs one stream to its end.
func (c *Client) exchange(ctx context.Context, l *link) error {
	// The stream is abandoned on return whatever state it is in.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Exchange(ctx, grpc.MaxCallRecvMsgSize(maxFleetBytes))
	if err != nil {
		return fmt.Errorf("opening the fleet's stream: %w", err)
	}
	received := make(chan error, 1)
	go func() { received <- receive(ctx, stream, l.fleets) }()
	for {
		select {
		case err := <-received:
			return err
		case summary := <-l.summaries:
			if err := stream.Send(summary); err != nil {
				// The status is with the receiver.
				cancel()
				return errors.Join(fmt.Errorf("sending a summary: %w", err), <-received)
			}
		}
	}
}

func receive(ctx context.Context, stream grpc.BidiStreamingClient[outcomev1.Summary, outcomev1.Fleet], fleets chan<- *outcomev1.Fleet) error {
	for {
		fleet, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("reading the fleet's stream: %w", err)
		}
		select {
		case fleets <- fleet:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // nobody reads it
		}
	}
}

// noResults is for a processor that remembers none.
type noResults struct{}

func (noResults) Outdated() []*outcomev1.Outdated { return nil }
func (noResults) Adopt([]*outcomev1.Purge)        {}
