package session

import (
	"bytes"
	"context"
	"hash/fnv"
	"strconv"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// A client comes back to an event stream by the id of the last event that it was given
// (Last-Event-ID, up to revision 2025-11-25). Ids are the server's words, so nothing in one
// says by which opening of a session it was given; and some servers take one that they
// have never given for the beginning of a stream on which nothing is ever said. So what is kept is who
// asks: streams that were to answer a call are noted when they break, and of all others
// the first that is asked for after a session has moved is the one on which its
// client listened before.

// MaxEventIDBytes bounds the ids, of events and of requests, that are kept of a stream.
const MaxEventIDBytes = 256

// callSlots is how many streams of calls are kept of one session.
const callSlots = 8

// Resumption is what becomes of a request for a stream of a session that was opened again.
type Resumption int

const (
	// Resume: the endpoint that has the session has given the id.
	Resume Resumption = iota
	// Moved: another one has, and the client listens. It has not come since the session moved.
	Moved
	// Anew: the same, and it has: it is given a new stream.
	Anew
	// Over: another one has, to say the answer to a call, which nobody can say now.
	Over
)

func callSlot(key string, event []byte) string {
	h := fnv.New32a()
	_, _ = h.Write(event)
	return key + "/call/" + strconv.Itoa(int(h.Sum32()%callSlots))
}

// NoteCall keeps that a stream of the session key, opened as upstreamID, has ended after
// an event without the answer to request.
func (r *Reopener) NoteCall(ctx context.Context, key, upstreamID string, event, request []byte) error {
	if len(event) == 0 || len(event) > MaxEventIDBytes || len(request) > MaxEventIDBytes {
		return nil
	}
	return r.noteStream(ctx, callSlot(key, event), upstreamID, &sessionv1.Stream{EventId: event, RequestId: request})
}

func (r *Reopener) noteStream(ctx context.Context, slot, upstreamID string, stream *sessionv1.Stream) error {
	_, err := Change(ctx, r.store, slot, func(state *sessionv1.State) bool {
		state.UpstreamId, state.Stream = upstreamID, stream
		return true
	})
	return err
}

// TakeUp says what becomes of a request for the stream after an event in the session key,
// whose present opening is upstreamID; without an event the client begins to listen. request
// is that of Over. An error comes with Resume, and leaves it to the endpoint.
func (r *Reopener) TakeUp(ctx context.Context, key, upstreamID string, event []byte) (what Resumption, request []byte, err error) {
	if len(event) > MaxEventIDBytes {
		return Resume, nil, nil
	}
	if len(event) > 0 {
		call, err := r.store.Get(ctx, callSlot(key, event))
		switch {
		case err != nil:
			return Resume, nil, err
		case !bytes.Equal(call.GetStream().GetEventId(), event):
		case call.GetUpstreamId() == upstreamID:
			return Resume, nil, nil
		default:
			return Over, call.GetStream().GetRequestId(), nil
		}
	}
	slot := key + "/listen"
	before, err := r.store.Get(ctx, slot)
	switch {
	case err != nil:
		return Resume, nil, err
	case before == nil || before.GetUpstreamId() != upstreamID:
		if err := r.noteStream(ctx, slot, upstreamID, &sessionv1.Stream{EventId: event}); err != nil {
			return Resume, nil, err
		}
		return Moved, nil, nil
	case len(event) == 0, bytes.Equal(before.GetStream().GetEventId(), event):
		// Some clients hold on to the id that they have until they are given another one.
		return Anew, nil, nil
	}
	return Resume, nil, nil
}
