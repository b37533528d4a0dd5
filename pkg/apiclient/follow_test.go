package apiclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

var errEnough = errors.New("enough")

// TestFollow goes on after the control plane went away, and ends when it is told to.
func TestFollow(t *testing.T) {
	streams := 0
	p := &plane{watch: func(_ context.Context, stream *connect.ServerStream[adminv1.StatusResponse]) error {
		streams++
		if err := stream.Send(&adminv1.StatusResponse{ProgramVersion: string(rune('a' + streams))}); err != nil {
			return err
		}
		if streams == 2 {
			return connect.NewError(connect.CodeUnavailable, errors.New("going down"))
		}
		return nil
	}}
	server := httptest.NewServer(handler(p))
	defer server.Close()
	var got, lost []string
	err := newClient(t, Options{Server: server.URL}).Follow(t.Context(), Follower{
		Retry: time.Millisecond,
		Lost:  func(err error) { lost = append(lost, err.Error()) },
		Status: func(s *adminv1.StatusResponse) error {
			if got = append(got, s.GetProgramVersion()); len(got) == 3 {
				return errEnough
			}
			return nil
		},
	})
	if !errors.Is(err, errEnough) || len(got) != 3 || got[2] != "d" || len(lost) != 2 || lost[1] != "going down" {
		t.Errorf("%v, statuses %q, lost %q", err, got, lost)
	}
}

// TestFollowCut: a connection that breaks in the middle of a message is one that is lost.
func TestFollowCut(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		// An empty message, and three bytes of the 512 of another one.
		_, _ = w.Write([]byte{0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 2, 3})
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	var lost string
	err := newClient(t, Options{Server: server.URL}).Follow(t.Context(), Follower{
		Retry: time.Millisecond,
		Lost:  func(err error) { lost = err.Error() },
		Status: func(*adminv1.StatusResponse) error {
			if lost != "" {
				return errEnough
			}
			return nil
		},
	})
	if !errors.Is(err, errEnough) || lost != "the connection to "+server.URL+" was cut off" {
		t.Errorf("%v, lost %q", err, lost)
	}
}

// TestFollowRefused: what will not be different the next time is not asked again.
func TestFollowRefused(t *testing.T) {
	heard := false
	p := &plane{watch: func(_ context.Context, stream *connect.ServerStream[adminv1.StatusResponse]) error {
		if !heard {
			heard = true
			return stream.Send(&adminv1.StatusResponse{})
		}
		return connect.NewError(connect.CodePermissionDenied, errors.New("no longer"))
	}}
	server := httptest.NewServer(handler(p))
	defer server.Close()
	err := newClient(t, Options{Server: server.URL}).Follow(t.Context(), Follower{
		Retry: time.Millisecond, Status: func(*adminv1.StatusResponse) error { return nil },
	})
	says(t, err, true, "no longer")
}

func TestFollowEnds(t *testing.T) {
	p := &plane{watch: func(ctx context.Context, stream *connect.ServerStream[adminv1.StatusResponse]) error {
		err := stream.Send(&adminv1.StatusResponse{})
		<-ctx.Done()
		return err
	}}
	server := httptest.NewServer(handler(p))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	err := newClient(t, Options{Server: server.URL}).Follow(ctx, Follower{Status: func(*adminv1.StatusResponse) error {
		cancel()
		return nil
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
}
