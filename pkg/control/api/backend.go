package api

import (
	"context"
	"errors"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// Backend does what the service Admin of api/admin/v1/admin.proto says, one method an
// RPC. Requests that come here have passed the checks that need no knowledge of the
// configuration: sizes, single-line texts, names that are there at all, percentages.
// What is left to check is whether they make sense now.
//
// All methods are called concurrently, but for those that change something: of
// those there is one at a time. They follow ctx, which ends when the caller goes away: until the
// new revision is kept, that leaves everything as it was; from then on it changes nothing.
//
// Errors are told apart with errors.Is and errors.As, by CodeOf; their words reach the
// caller. Results must not be changed after they were returned.
type Backend interface {
	// Apply follows the RPC. author is who is asking; the request's own field is not looked at.
	Apply(ctx context.Context, request *adminv1.ApplyRequest, author string) (*adminv1.ApplyResponse, error)
	// Rollback follows the RPC. author is as for Apply.
	Rollback(ctx context.Context, request *adminv1.RollbackRequest, author string) (*adminv1.ApplyResponse, error)
	// Diff follows the RPC.
	Diff(ctx context.Context, request *adminv1.DiffRequest) (*adminv1.DiffResponse, error)
	// Get follows the RPC.
	Get(ctx context.Context, request *adminv1.GetRequest) (*adminv1.GetResponse, error)
	// List follows the RPC.
	List(ctx context.Context, request *adminv1.ListRequest) (*adminv1.ListResponse, error)
	// History follows the RPC. The limit is 1 to MaxHistory, never 0.
	History(ctx context.Context, request *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error)
	// Status follows the RPC.
	Status(ctx context.Context, request *adminv1.StatusRequest) (*adminv1.StatusResponse, error)
	// Watch calls send with the status at once and after each change, until ctx ends or
	// send fails, and gives that error. send may block for seconds on a slow reader, and
	// is called by one goroutine.
	Watch(ctx context.Context, send func(*adminv1.StatusResponse) error) error
	// GetNode follows the RPC.
	GetNode(ctx context.Context, request *adminv1.GetNodeRequest) (*adminv1.GetNodeResponse, error)
	// ListBreakers follows the RPC.
	ListBreakers(ctx context.Context, request *adminv1.ListBreakersRequest) (*adminv1.ListBreakersResponse, error)
	// SetBreaker follows the RPC. author is as for Apply.
	SetBreaker(ctx context.Context, request *adminv1.SetBreakerRequest, author string) (*adminv1.SetBreakerResponse, error)
	// ListDrains follows the RPC.
	ListDrains(ctx context.Context, request *adminv1.ListDrainsRequest) (*adminv1.ListDrainsResponse, error)
	// SetDrain follows the RPC. author is as for Apply.
	SetDrain(ctx context.Context, request *adminv1.SetDrainRequest, author string) (*adminv1.SetDrainResponse, error)
	// Failback follows the RPC. author is as for Apply.
	Failback(ctx context.Context, request *adminv1.FailbackRequest, author string) (*adminv1.FailbackResponse, error)
	// Promote follows the RPC. author is as for Apply.
	Promote(ctx context.Context, request *adminv1.PromoteRequest, author string) (*adminv1.ApplyResponse, error)
	// ListCanaries follows the RPC.
	ListCanaries(ctx context.Context, request *adminv1.ListCanariesRequest) (*adminv1.ListCanariesResponse, error)
	// Succeed follows the RPC. author is as for Apply.
	Succeed(ctx context.Context, request *adminv1.SucceedRequest, author string) (*adminv1.SucceedResponse, error)
	// PurgeCache follows the RPC. author is as for Apply.
	PurgeCache(ctx context.Context, request *adminv1.PurgeCacheRequest, author string) (*adminv1.PurgeCacheResponse, error)
	// GetHealth follows the RPC.
	GetHealth(ctx context.Context, request *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error)
	// GetReport follows the RPC. The month is empty or well formed.
	GetReport(ctx context.Context, request *adminv1.GetReportRequest) (*adminv1.GetReportResponse, error)
}

// Errors of a Backend that belong to no other package; see CodeOf for the others.
var (
	// ErrInvalid: what was given is wrong, by other means than config.Problems can say,
	// such as an Envoy that does not accept what becomes of it.
	ErrInvalid = errors.New("not valid")
	// ErrUnknown: there is no such revision, resource or node.
	ErrUnknown = errors.New("not found")
	// ErrTooLarge: a bound on the whole configuration is exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrNoRevision: no valid configuration has been given yet.
	ErrNoRevision = errors.New("there is no valid revision yet")
	// ErrNothingLeft: a drain would leave no healthy region.
	ErrNothingLeft = errors.New("no healthy region would be left")
	// ErrNotHeld: callers are not kept away from there.
	ErrNotHeld = errors.New("nobody is kept away")
	// ErrNotWell: the region that is to have calls is not well.
	ErrNotWell = errors.New("not well")
	// ErrSuccession: a successor cannot be given or taken what is asked for, as things are.
	ErrSuccession = errors.New("nothing was changed")
	// ErrNotMeasured: the control plane was told to measure nothing.
	ErrNotMeasured = errors.New("this control plane measures nothing of endpoints (xds --measure)")
	// ErrStopping: nothing is begun any more.
	ErrStopping = errors.New("the control plane is stopping")
)
