// Package peers shares the probing of endpoints among the control planes of a fleet. Each endpoint is looked at by the one
// that rendezvous hashing picks among those that are heard of, and the others are told what it finds. A control plane
// that is not heard of any more has its endpoints looked at by the others a few seconds later. It is both
// sides of outcomev1.Probes.
package peers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
)

const (
	// MaxPeers is how many may be heard of at once.
	MaxPeers = 64
	// maxFindings bounds one Word.
	maxFindings = 1024
	// pace of words.
	pace = time.Second
	// silence after which a peer is gone.
	silence = 5 * time.Second
	// maxName bounds the name of an instance, in bytes.
	maxName = 128
)

// Options of a Fleet.
type Options struct {
	// Conns lead to the other control planes, one each; they may be down, and one may lead to this one.
	Conns []grpc.ClientConnInterface
	// Found takes what another one has found; Changed is called when one has come or gone.
	Found   func(outlier.Finding)
	Changed func()
	// Logger discards when nil.
	Logger *slog.Logger
}

// Fleet is this control plane's part. It is safe for concurrent use; Run may be called once.
type Fleet struct {
	outcomev1.UnimplementedProbesServer
	opts     Options
	log      *slog.Logger
	instance string
	stopped  chan struct{}
	stop     sync.Once
	// live are the instances there are, this one included, in order.
	live atomic.Pointer[[]string]

	mu sync.Mutex
	// heard is when each peer last said something.
	heard map[string]time.Time
	// found is the newest of every endpoint that is this one's to look at, at numbers it.
	found map[key]numbered
	at    uint64
}

type key struct{ server, endpoint string }

type numbered struct {
	finding outlier.Finding
	at      uint64
}

// New makes a Fleet that has heard of nobody yet, and so has all endpoints for itself.
func New(opts Options) *Fleet {
	f := &Fleet{
		opts: opts, log: opts.Logger, instance: rand.Text(), stopped: make(chan struct{}),
		heard: map[string]time.Time{}, found: map[key]numbered{},
	}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.live.Store(&[]string{f.instance})
	return f
}

// Mine says whether this control plane looks at an endpoint.
func (f *Fleet) Mine(server, endpoint string) bool {
	return pick(*f.live.Load(), server, endpoint) == f.instance
}

// pick is rendezvous hashing: when one of all goes, only its endpoints move.
func pick(all []string, server, endpoint string) string {
	best, most := "", uint64(0)
	for _, instance := range all {
		h := fnv.New64a()
		for _, part := range []string{instance, server, endpoint} {
			_, _ = h.Write([]byte(part)) // a hash takes everything
			_, _ = h.Write([]byte{0})
		}
		// FNV's upper bits hardly depend on the last bytes.
		x := h.Sum64()
		x = (x ^ x>>33) * 0xff51afd7ed558ccd
		x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
		if x ^= x >> 33; best == "" || x > most {
			best, most = instance, x
		}
	}
	return best
}

// Peers is how many other control planes are heard of.
func (f *Fleet) Peers() int { return len(*f.live.Load()) - 1 }

// Share tells the others what was found of an endpoint, with the next words.
func (f *Fleet) Share(found outlier.Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at++
	f.found[key{found.Server, found.Endpoint}] = numbered{found, f.at}
}

// Run tells the others, and notices who is gone, until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, conn := range f.opts.Conns {
		all.Go(func() { f.tell(ctx, outcomev1.NewProbesClient(conn)) })
	}
	every := time.NewTicker(pace)
	defer every.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-every.C:
			f.look(now)
		}
	}
	all.Wait()
}

// look forgets who has said nothing for a while, and what is not this one's to tell any more.
func (f *Fleet) look(now time.Time) {
	f.mu.Lock()
	live := []string{f.instance}
	for name, at := range f.heard {
		if now.Sub(at) > silence {
			delete(f.heard, name)
			continue
		}
		live = append(live, name)
	}
	slices.Sort(live)
	before := *f.live.Load()
	changed := !slices.Equal(before, live)
	if changed {
		f.live.Store(&live)
		maps.DeleteFunc(f.found, func(k key, _ numbered) bool { return pick(live, k.server, k.endpoint) != f.instance })
	}
	f.mu.Unlock()
	if !changed {
		return
	}
	f.log.Info("control planes that share probing", "peers", len(live)-1, "before", len(before)-1)
	if f.opts.Changed != nil {
		f.opts.Changed()
	}
}

// tell tells one peer until ctx ends.
func (f *Fleet) tell(ctx context.Context, client outcomev1.ProbesClient) {
	told := false
	for ctx.Err() == nil {
		err := f.words(ctx, client)
		if grpcstatus.Code(err) == codes.AlreadyExists {
			// It is this control plane's own address.
			return
		}
		if ctx.Err() == nil && !told {
			f.log.Warn("another control plane is not told what probes find", "error", err)
		}
		told = true
		select {
		case <-ctx.Done():
		case <-time.After(pace):
		}
	}
}

// words is one stream.
func (f *Fleet) words(ctx context.Context, client outcomev1.ProbesClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Tell(ctx)
	if err != nil {
		return fmt.Errorf("opening the stream: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- stream.RecvMsg(&outcomev1.Heard{})
	}()
	every := time.NewTicker(pace)
	defer every.Stop()
	var sent uint64
	for {
		word, upTo := f.word(sent)
		if err := stream.Send(word); err != nil {
			// Why is what the other side says.
			return <-ended
		}
		sent = upTo
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
	}
}

// word has what was found after a number, the oldest first, and the number up to which that is all.
func (f *Fleet) word(after uint64) (*outcomev1.Word, uint64) {
	f.mu.Lock()
	var fresh []numbered
	for _, n := range f.found {
		if n.at > after {
			fresh = append(fresh, n)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(fresh, func(a, b numbered) int { return cmp.Compare(a.at, b.at) })
	out := &outcomev1.Word{Instance: f.instance}
	for _, n := range fresh[:min(len(fresh), maxFindings)] {
		out.Findings, after = append(out.Findings, message(n.finding)), n.at
	}
	return out, after
}

// Tell implements outcomev1.ProbesServer.
func (f *Fleet) Tell(stream grpc.ClientStreamingServer[outcomev1.Word, outcomev1.Heard]) error {
	ended := make(chan error, 1)
	go func() { ended <- f.hear(stream) }()
	select {
	case err := <-ended:
		return err
	case <-f.stopped:
		return grpcstatus.Error(codes.Unavailable, "the control plane is stopping")
	}
}

func (f *Fleet) hear(stream grpc.ClientStreamingServer[outcomev1.Word, outcomev1.Heard]) error {
	name := ""
	for {
		word, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // a gRPC status
		}
		switch is := word.GetInstance(); {
		case is == f.instance:
			return grpcstatus.Error(codes.AlreadyExists, "it is this control plane itself")
		case is == "" || len(is) > maxName || name != "" && name != is:
			return grpcstatus.Error(codes.InvalidArgument, "instance: not the name of one control plane")
		case len(word.GetFindings()) > maxFindings:
			return grpcstatus.Errorf(codes.InvalidArgument, "findings: %d are more than %d", len(word.GetFindings()), maxFindings)
		case !f.hears(is):
			return grpcstatus.Errorf(codes.ResourceExhausted, "%d control planes are heard of already", MaxPeers)
		default:
			name = is
		}
		for _, one := range word.GetFindings() {
			if found, ok := finding(one); ok {
				f.opts.Found(found)
			}
		}
	}
}

// hears notes that a peer is there; false where there are too many.
func (f *Fleet) hears(name string) bool {
	f.mu.Lock()
	_, known := f.heard[name]
	if ok := known || len(f.heard) < MaxPeers; !ok {
		f.mu.Unlock()
		return false
	}
	f.heard[name] = time.Now()
	f.mu.Unlock()
	if !known {
		f.look(time.Now())
	}
	return true
}

// Stop ends the streams, now and those that come later.
func (f *Fleet) Stop() { f.stop.Do(func() { close(f.stopped) }) }
