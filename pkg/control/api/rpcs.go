package api

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
)

var (
	errFault   = errors.New("a fault of the control plane; its log says more")
	errNothing = errors.New("the control plane has no answer")
)

// rpcs are the methods of the service, as connect calls them: with whole messages, of callers
// who may.
type rpcs struct{ *Service }

var _ adminv1connect.AdminHandler = (*rpcs)(nil)

// begin is called when a message has been read.
func begin(ctx context.Context, problem error) (*call, error) {
	c, err := callOf(ctx)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	// net/http takes a deadline that passes from here on for a caller that has gone away.
	if err := c.control.SetReadDeadline(time.Time{}); err != nil {
		return nil, connect.NewError(connect.CodeCanceled, err)
	}
	if coded := new(connect.Error); errors.As(problem, &coded) {
		return nil, coded
	}
	if problem != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, problem)
	}
	return c, nil
}

// read answers a method that changes nothing.
func read[Request, Response any](ctx context.Context, request *Request, problem error, ask func(context.Context, *Request) (*Response, error)) (*Response, error) {
	if _, err := begin(ctx, problem); err != nil {
		return nil, err
	}
	response, err := ask(ctx, request)
	return answered(ctx, response, err)
}

// answered gives what a Backend said, or its error as the caller sees it.
func answered[Response any](ctx context.Context, response *Response, err error) (*Response, error) {
	if err == nil && response == nil {
		err = errNothing
	}
	if err != nil {
		return nil, rpcError(ctx, err)
	}
	return response, nil
}

// Diff implements adminv1connect.AdminHandler.
func (s *rpcs) Diff(ctx context.Context, request *adminv1.DiffRequest) (*adminv1.DiffResponse, error) {
	return read(ctx, request, nil, s.backend.Diff)
}

// Get implements adminv1connect.AdminHandler.
func (s *rpcs) Get(ctx context.Context, request *adminv1.GetRequest) (*adminv1.GetResponse, error) {
	return read(ctx, request, checkRef("ref", request.GetRef()), s.backend.Get)
}

// List implements adminv1connect.AdminHandler.
func (s *rpcs) List(ctx context.Context, request *adminv1.ListRequest) (*adminv1.ListResponse, error) {
	return read(ctx, request, checkLength("kind", request.GetKind(), maxNameBytes), s.backend.List)
}

// History implements adminv1connect.AdminHandler.
func (s *rpcs) History(ctx context.Context, request *adminv1.HistoryRequest) (*adminv1.HistoryResponse, error) {
	if request.GetLimit() == 0 {
		request.Limit = DefaultHistory
	}
	request.Limit = min(request.Limit, MaxHistory)
	return read(ctx, request, nil, s.backend.History)
}

// Status implements adminv1connect.AdminHandler.
func (s *rpcs) Status(ctx context.Context, request *adminv1.StatusRequest) (*adminv1.StatusResponse, error) {
	return read(ctx, request, nil, s.backend.Status)
}

// GetNode implements adminv1connect.AdminHandler.
func (s *rpcs) GetNode(ctx context.Context, request *adminv1.GetNodeRequest) (*adminv1.GetNodeResponse, error) {
	return read(ctx, request, checkNode(request.GetId()), s.backend.GetNode)
}

// Watch implements adminv1connect.AdminHandler. A reader who does not take a message in time
// loses the connection, not the control plane its memory.
func (s *rpcs) Watch(ctx context.Context, _ *adminv1.WatchRequest, stream *connect.ServerStream[adminv1.StatusResponse]) error {
	c, err := begin(ctx, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-admin.Stopping(ctx):
			cancel(ErrStopping)
		case <-done:
		}
	}()
	err = s.backend.Watch(ctx, func(message *adminv1.StatusResponse) error {
		if err := c.answerWithin(s.times.answer); err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		return c.control.SetWriteDeadline(time.Time{})
	})
	// What is left to write is how it ended; who is gone will not read it.
	_ = c.answerWithin(s.times.answer)
	switch {
	case errors.Is(context.Cause(ctx), ErrStopping):
		return connect.NewError(connect.CodeUnavailable, ErrStopping)
	case err != nil:
		return rpcError(ctx, err)
	default:
		return nil
	}
}
