package api

import (
	"context"
	"errors"
	"log/slog"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// maxLoggedChanges bounds how many changed resources a line of the log names.
const maxLoggedChanges = 20

// write is what the log tells of a call that changes something: who and what, never the
// documents. Errors of validation repeat parts of them, so those stay out as well.
type write struct {
	method, author, reason string
	dryRun                 bool
}

// Apply implements adminv1connect.AdminHandler.
func (s *rpcs) Apply(ctx context.Context, request *adminv1.ApplyRequest) (*adminv1.ApplyResponse, error) {
	w := write{method: "Apply", author: request.GetAuthor(), reason: request.GetReason(), dryRun: request.GetDryRun()}
	return s.write(ctx, w, checkApply(request), func(author string) (*adminv1.ApplyResponse, error) {
		return s.backend.Apply(ctx, request, author)
	})
}

// Rollback implements adminv1connect.AdminHandler.
func (s *rpcs) Rollback(ctx context.Context, request *adminv1.RollbackRequest) (*adminv1.ApplyResponse, error) {
	w := write{method: "Rollback", author: request.GetAuthor(), reason: request.GetReason(), dryRun: request.GetDryRun()}
	return s.write(ctx, w, checkRollback(request), func(author string) (*adminv1.ApplyResponse, error) {
		return s.backend.Rollback(ctx, request, author)
	})
}

// write makes a revision, and logs it.
func (s *rpcs) write(ctx context.Context, w write, problem error, do func(author string) (*adminv1.ApplyResponse, error)) (*adminv1.ApplyResponse, error) {
	return change(ctx, s, w, problem, do, s.logWrite)
}

// change makes a change when it is its turn. Who goes away before that has asked for nothing.
func change[Response any](ctx context.Context, s *rpcs, w write, problem error, do func(author string) (*Response, error),
	log func(context.Context, *call, write, *Response, error),
) (*Response, error) {
	c, err := begin(ctx, problem)
	if err == nil {
		if w.author, err = c.author(w.author); err != nil {
			err = connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	if err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
		defer s.turn.give()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, rpcError(ctx, err)
	}
	logged := false
	defer func() {
		if !logged { // a fault, which is told elsewhere in full
			log(ctx, c, w, nil, errFault)
		}
	}()
	response, err := do(w.author)
	if err == nil && response == nil {
		err = errNothing
	}
	logged = true
	log(ctx, c, w, response, err)
	return answered(ctx, response, err)
}

func (s *rpcs) logWrite(ctx context.Context, c *call, w write, response *adminv1.ApplyResponse, err error) {
	attrs := []slog.Attr{
		slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote),
		slog.String("reason", w.reason), slog.Bool("dry_run", w.dryRun),
	}
	if err != nil {
		s.logRefused(ctx, attrs, err)
		return
	}
	result, revision := "new revision", response.GetRevision()
	switch {
	case response.GetUnchanged():
		result = "unchanged"
	case w.dryRun:
		result = "valid"
	}
	changes := revision.GetChanges()
	attrs = append(attrs, slog.String("result", result), slog.Uint64("revision", revision.GetNumber()), slog.String("version", revision.GetVersion()))
	if !response.GetUnchanged() {
		attrs = append(attrs, slog.Int("changed", len(changes)), slog.Any("changes", changes[:min(len(changes), maxLoggedChanges)]))
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: write", attrs...)
}

// logRefused tells that a write changed nothing.
func (s *rpcs) logRefused(ctx context.Context, attrs []slog.Attr, err error) {
	code := CodeOf(err)
	attrs = append(attrs, slog.String("result", code.String()))
	if code == connect.CodeInternal || code == connect.CodeResourceExhausted {
		attrs = append(attrs, slog.String("error", bounded(err.Error(), maxGRPCErrorBytes)))
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "admin API: nothing changed", attrs...)
}

var (
	errNoChange   = errors.New("there is neither a document nor a resource to remove in it")
	errNoRollback = errors.New("revision: which one to go back to is missing")
)
