package api

import (
	"context"
	"fmt"
	"sync"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// fake is a Backend in memory: a revision is a text.
type fake struct {
	mu        sync.Mutex
	revisions []*adminv1.Revision
	documents []string
	// fail, if set, is what every method gives.
	fail error
	// during, if set, is called in the middle of a write.
	during func(ctx context.Context) error
	// writing counts the writes under way.
	writing, mostWriting int
	// limits are those that History was asked for.
	limits []uint32
	// updates go to the watchers after the first status.
	updates chan *adminv1.StatusResponse
	// held are the authors of SetBreaker and SetDrain.
	held    []string
	nothing bool
}

func (f *fake) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.revisions)
}

func (f *fake) write(ctx context.Context, next *adminv1.Revision, documents string, dryRun bool) (*adminv1.ApplyResponse, error) {
	if err := f.enter(); err != nil {
		return nil, err
	}
	if f.nothing {
		return nil, nil
	}
	f.mu.Lock()
	f.writing++
	f.mostWriting = max(f.mostWriting, f.writing)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.writing--
		f.mu.Unlock()
	}()
	if f.during != nil {
		if err := f.during(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !dryRun {
		next.Number = uint64(len(f.revisions) + 1)
		f.revisions = append(f.revisions, next)
		f.documents = append(f.documents, documents)
	}
	return &adminv1.ApplyResponse{Revision: next, Diff: "+" + documents}, nil
}

func (f *fake) Apply(ctx context.Context, r *adminv1.ApplyRequest, author string) (*adminv1.ApplyResponse, error) {
	next := &adminv1.Revision{Author: author, Reason: r.GetReason(), Version: "v", Changes: []string{"+ MCPServer/orders"}}
	return f.write(ctx, next, r.GetDocuments(), r.GetDryRun())
}

func (f *fake) Rollback(ctx context.Context, r *adminv1.RollbackRequest, author string) (*adminv1.ApplyResponse, error) {
	next := &adminv1.Revision{Author: author, Reason: r.GetReason(), RollbackOf: r.GetRevision()}
	return f.write(ctx, next, "old", r.GetDryRun())
}

func (f *fake) Diff(_ context.Context, r *adminv1.DiffRequest) (*adminv1.DiffResponse, error) {
	return &adminv1.DiffResponse{Diff: fmt.Sprintf("%d..%d", r.GetFrom(), r.GetTo())}, f.enter()
}

func (f *fake) Get(_ context.Context, r *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return &adminv1.GetResponse{Revision: r.GetRevision(), Resource: &adminv1.Resource{Kind: r.GetRef().GetKind(), Name: r.GetRef().GetName()}}, f.enter()
}

func (f *fake) List(_ context.Context, r *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	return &adminv1.ListResponse{Revision: r.GetRevision(), Resources: []*adminv1.Resource{{Kind: r.GetKind()}}}, f.enter()
}

func (f *fake) History(_ context.Context, r *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = append(f.limits, r.GetLimit())
	return &adminv1.HistoryResponse{Revisions: f.revisions}, f.fail
}

func (f *fake) Status(context.Context, *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	return &adminv1.StatusResponse{Ready: true, ProgramVersion: "test"}, f.enter()
}

func (f *fake) Watch(ctx context.Context, send func(*adminv1.StatusResponse) error) error {
	if err := f.enter(); err != nil {
		return err
	}
	if err := send(&adminv1.StatusResponse{Ready: true}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-f.updates:
			if err := send(s); err != nil {
				return err
			}
		}
	}
}

func (f *fake) GetNode(_ context.Context, r *adminv1.GetNodeRequest) (*adminv1.GetNodeResponse, error) {
	return &adminv1.GetNodeResponse{Node: &adminv1.Node{Id: r.GetId()}}, f.enter()
}

func (f *fake) ListBreakers(_ context.Context, r *adminv1.ListBreakersRequest) (*adminv1.ListBreakersResponse, error) {
	return &adminv1.ListBreakersResponse{Breakers: []*adminv1.Breaker{{Server: r.GetServer(), Tool: r.GetTool()}}}, f.enter()
}

func (f *fake) SetBreaker(_ context.Context, r *adminv1.SetBreakerRequest, author string) (*adminv1.SetBreakerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, author)
	return &adminv1.SetBreakerResponse{Breakers: []*adminv1.Breaker{{Server: r.GetServer(), By: author}}}, f.fail
}

func (f *fake) GetHealth(_ context.Context, r *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error) {
	return &adminv1.GetHealthResponse{Server: r.GetServer()}, f.enter()
}

func (f *fake) GetReport(_ context.Context, r *adminv1.GetReportRequest) (*adminv1.GetReportResponse, error) {
	return &adminv1.GetReportResponse{Reports: []*adminv1.MonthReport{{Server: r.GetServer(), Month: r.GetMonth()}}}, f.enter()
}

func (f *fake) ListDrains(context.Context, *adminv1.ListDrainsRequest) (*adminv1.ListDrainsResponse, error) {
	return &adminv1.ListDrainsResponse{Drains: []*adminv1.Drain{{Region: "asia-south1"}}}, f.enter()
}

func (f *fake) SetDrain(_ context.Context, r *adminv1.SetDrainRequest, author string) (*adminv1.SetDrainResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, author)
	return &adminv1.SetDrainResponse{Drains: []*adminv1.Drain{{Region: r.GetTarget(), By: author}}}, f.fail
}

func (f *fake) Failback(_ context.Context, r *adminv1.FailbackRequest, author string) (*adminv1.FailbackResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, author)
	return &adminv1.FailbackResponse{Regions: []string{r.GetRegion()}}, f.fail
}

func (f *fake) Promote(ctx context.Context, r *adminv1.PromoteRequest, author string) (*adminv1.ApplyResponse, error) {
	return f.write(ctx, &adminv1.Revision{Author: author, Reason: r.GetReason()}, r.GetRegion()+" first", r.GetDryRun())
}

func (f *fake) ListCanaries(context.Context, *adminv1.ListCanariesRequest) (*adminv1.ListCanariesResponse, error) {
	return &adminv1.ListCanariesResponse{Canaries: []*adminv1.Canary{{Server: "orders"}}}, f.enter()
}

func (f *fake) Succeed(_ context.Context, r *adminv1.SucceedRequest, author string) (*adminv1.SucceedResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, author)
	return &adminv1.SucceedResponse{Canary: &adminv1.Canary{Server: r.GetServer(), By: author}}, f.fail
}

func (f *fake) PurgeCache(_ context.Context, _ *adminv1.PurgeCacheRequest, author string) (*adminv1.PurgeCacheResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, author)
	return &adminv1.PurgeCacheResponse{Serial: uint64(len(f.held))}, f.fail
}
