package api

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/drains"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// Bounds on the words of an error. In gRPC they travel in a header, of which many clients take
// eight kilobytes in all; elsewhere in a body.
const (
	maxErrorBytes     = 64 << 10
	maxGRPCErrorBytes = 6 << 10
)

// CodeOf tells which code of RPC an error of a Backend is:
//
//	INVALID_ARGUMENT     config.Problems, config.ErrEmpty, ErrInvalid
//	FAILED_PRECONDITION  revisions.ErrStale, revisions.ErrOwner, outcomes.ErrNoOverride, drains.ErrNone, ErrNothingLeft, ErrNotHeld, ErrNotWell, ErrSuccession, ErrNotMeasured
//	RESOURCE_EXHAUSTED   store.ErrNoSpace, ErrTooLarge, outcomes.ErrTooMany, drains.ErrTooMany
//	NOT_FOUND            revisions.ErrNotFound, store.ErrNotFound, ErrUnknown
//	UNAVAILABLE          ErrNoRevision, ErrStopping
//	CANCELED             context.Canceled
//	DEADLINE_EXCEEDED    context.DeadlineExceeded
//	INTERNAL             everything else
//
// An error that is several of these has the first code of the list.
func CodeOf(err error) connect.Code {
	var problems config.Problems
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	switch {
	case errors.As(err, &problems), is(config.ErrEmpty, ErrInvalid):
		return connect.CodeInvalidArgument
	case is(revisions.ErrStale, revisions.ErrOwner, outcomes.ErrNoOverride, drains.ErrNone, ErrNothingLeft, ErrNotHeld, ErrNotWell, ErrSuccession, ErrNotMeasured):
		return connect.CodeFailedPrecondition
	case is(store.ErrNoSpace, ErrTooLarge, outcomes.ErrTooMany, drains.ErrTooMany):
		return connect.CodeResourceExhausted
	case is(revisions.ErrNotFound, store.ErrNotFound, ErrUnknown):
		return connect.CodeNotFound
	case is(ErrNoRevision, ErrStopping):
		return connect.CodeUnavailable
	case is(context.Canceled):
		return connect.CodeCanceled
	case is(context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	default:
		return connect.CodeInternal
	}
}

// rpcError is an error of a Backend as the caller sees it.
func rpcError(ctx context.Context, err error) *connect.Error {
	limit := maxErrorBytes
	if info, ok := connect.CallInfoForHandlerContext(ctx); ok && info.Peer().Protocol == connect.ProtocolGRPC {
		limit = maxGRPCErrorBytes
	}
	text := err.Error()
	var problems config.Problems
	if errors.As(err, &problems) {
		// Nothing stands before the file names, so that editors find them.
		text = problems.Error()
	}
	return connect.NewError(CodeOf(err), errors.New(bounded(text, limit)))
}

const cut = "\n[cut here]"

// bounded makes a text valid UTF-8 and shortens it, to whole lines if it has any, so that it
// takes no more than limit bytes in a header of gRPC, which writes some bytes as three.
func bounded(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	size, room := 0, 0
	for i, r := range text {
		n := utf8.RuneLen(r)
		if n > 1 || r < ' ' || r > '~' || r == '%' {
			n *= 3
		}
		size += n
		if size <= limit-len(cut)-2 {
			room = i + utf8.RuneLen(r)
		}
		if size > limit {
			text = text[:room]
			if end := strings.LastIndexByte(text, '\n'); end > 0 {
				text = text[:end]
			}
			return text + cut
		}
	}
	return text
}
