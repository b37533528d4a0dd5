package apiclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// Follower gets what Follow sees.
type Follower struct {
	// Status is called with each status, in order. An error ends Follow, which returns it.
	Status func(*adminv1.StatusResponse) error
	// Lost is called when the connection was lost, with the reason, before it is
	// tried again; may be nil.
	Lost func(error)
	// Retry is how long to wait before it is tried again; 0 is half a second.
	Retry time.Duration
}

// Follow watches the status until ctx ends or a callback says so. A control plane that
// restarts or cannot be reached for a while is asked again and again, once it has
// answered for the first time; what it refuses (Error.Answered) is returned at once.
// When ctx ends, Follow returns its error.
func (c *Client) Follow(ctx context.Context, f Follower) error {
	if f.Retry == 0 {
		f.Retry = 500 * time.Millisecond
	}
	heard := false
	for {
		err := c.watch(ctx, func(s *adminv1.StatusResponse) error {
			heard = true
			return f.Status(s)
		})
		var stop *stopError
		if errors.As(err, &stop) {
			return stop.err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("watching: %w", ctx.Err())
		}
		err = c.explain(err)
		var told *Error
		refused := errors.As(err, &told) && told.Answered && told.Code != connect.CodeUnavailable && told.Code != connect.CodeCanceled
		if !heard || refused {
			return err
		}
		if f.Lost != nil {
			f.Lost(err)
		}
		again := time.NewTimer(f.Retry)
		select {
		case <-ctx.Done():
			again.Stop()
			return fmt.Errorf("watching: %w", ctx.Err())
		case <-again.C:
		}
	}
}

// stopError is the word of a callback.
type stopError struct{ err error }

func (e *stopError) Error() string { return "stopped" }

// watch follows one stream to its end, which is always an error.
func (c *Client) watch(ctx context.Context, status func(*adminv1.StatusResponse) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Watch(ctx, &adminv1.WatchRequest{})
	if err != nil {
		return err //nolint:wrapcheck // Follow puts it into words
	}
	defer stream.Close() //nolint:errcheck // cut off anyway
	for stream.Receive() {
		if err := status(stream.Msg()); err != nil {
			return &stopError{err}
		}
	}
	if err := stream.Err(); err != nil {
		return err //nolint:wrapcheck // Follow puts it into words
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("the control plane ended the stream"))
}
