package policy

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

const (
	// reportQueue is how many entries wait for the control plane; more are dropped.
	reportQueue = 256
	// reportKeys is how many keys are remembered as reported.
	reportKeys = 4096
	// reportMinInterval bounds how often one key is reported, whatever it says;
	// reportUnchanged is how often content that is still the same is confirmed.
	reportMinInterval = time.Second
	reportUnchanged   = 10 * time.Second
	// reportBatchBytes keeps a request below the usual 4 MiB limit of a gRPC server.
	reportBatchBytes = 2 << 20
	reportTimeout    = 5 * time.Second
)

// Reporter gives answers that callers may share to the control plane (the
// policyv1.Catalog service). Nothing waits for it: what cannot be sent is
// dropped, and offered again by the next answer of its kind.
type Reporter struct {
	client policyv1.CatalogClient
	log    *slog.Logger
	queue  chan *policyv1.CatalogEntry

	mu       sync.Mutex
	reported map[string]reportState
}

type reportState struct {
	content [sha256.Size]byte
	at      time.Time
}

// NewReporter makes a Reporter on conn, which may be down. A nil logger discards.
func NewReporter(conn grpc.ClientConnInterface, logger *slog.Logger) *Reporter {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Reporter{
		client: policyv1.NewCatalogClient(conn), log: logger,
		queue:    make(chan *policyv1.CatalogEntry, reportQueue),
		reported: make(map[string]reportState),
	}
}

// Offer queues e unless its key was reported a moment ago, or a little longer ago
// with the same result, or the queue is full. It never blocks, and is safe for
// concurrent use. e must not change afterwards.
func (r *Reporter) Offer(e *policyv1.CatalogEntry) {
	now := time.Now()
	content := sha256.Sum256(e.GetResult())
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.reported[e.GetKey()]
	age := now.Sub(last.at)
	if known && (age < reportMinInterval || (age < reportUnchanged && last.content == content)) {
		return
	}
	select {
	case r.queue <- e:
	default:
		return
	}
	if !known && len(r.reported) >= reportKeys {
		r.forget(now)
	}
	r.reported[e.GetKey()] = reportState{content: content, at: now}
}

// forget makes room: keys whose interval is over first, any one otherwise.
func (r *Reporter) forget(now time.Time) {
	for key, state := range r.reported {
		if now.Sub(state.at) >= reportUnchanged {
			delete(r.reported, key)
		}
	}
	for key := range r.reported {
		if len(r.reported) < reportKeys {
			return
		}
		delete(r.reported, key)
	}
}

// Run sends what is offered until ctx ends.
func (r *Reporter) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-r.queue:
			r.send(ctx, r.batch(first))
		}
	}
}

func (r *Reporter) batch(first *policyv1.CatalogEntry) []*policyv1.CatalogEntry {
	entries := []*policyv1.CatalogEntry{first}
	for size := proto.Size(first); size < reportBatchBytes; {
		select {
		case e := <-r.queue:
			entries = append(entries, e)
			size += proto.Size(e)
		default:
			return entries
		}
	}
	return entries
}

func (r *Reporter) send(ctx context.Context, entries []*policyv1.CatalogEntry) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if _, err := r.client.Report(ctx, &policyv1.ReportRequest{Entries: entries}); err != nil {
		r.log.Debug("catalog entries not reported", "entries", len(entries), "error", err)
	}
}
