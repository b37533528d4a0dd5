package extproc

import (
	"errors"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// maxEventBytes bounds one event of a stream that is followed, and one whole JSON answer
// that is remembered.
const maxEventBytes = 1 << 20

// events follows an event stream to the answer that its call waits for.
type events struct {
	stream *wire.EventStream
	// id of the call, its exact bytes; legacy says that ids of events matter.
	id []byte
	// tests of the operator; never nil.
	tests *tests
	// unread: nobody has seen the id, so the first answer is the one.
	unread bool
	// hurried: the first message is the caller's business at once.
	hurried bool
	// modern: the server may not ask the caller for anything (2026-07-28).
	modern bool
	// batch follows the answers to a batch; nil for a call by itself.
	batch *batchEvents

	// spoke: a whole message has gone by.
	spoke bool
	// commit: a message was seen that may not wait.
	commit bool
	// resumable: the server gave ids, by which a client comes back for the rest.
	resumable bool
	// lastID is the last one, where keepID.
	lastID []byte
	keepID bool
	// lost: an event was too large, nothing is known from there on.
	lost bool
	// changed: the server has said that its tools are not what they were.
	changed bool
	// final is the answer, once it is there.
	final *final
}

// final is the answer to a call.
type final struct {
	class outcome.Class
	// usable: whole, and the caller can match it to its request.
	usable bool
	// bare: the result has no members, and clients may count on that (EmptyResult of
	// the MCP schema), so nothing is added to it.
	bare bool
	// failure is the error that it holds, empty where it is none.
	failure span.Failure
	// start and end are offsets in the body.
	start, end int
	// result is a copy of the result for the catalog; nil where nobody wants it.
	result []byte
}

// feed reads the next bytes of the stream.
func (e *events) feed(chunk []byte, keep bool) {
	if e.final != nil || e.lost {
		return
	}
	list, err := e.stream.Feed(chunk)
	for i := range list {
		if e.final == nil {
			e.see(&list[i], keep)
		}
	}
	if errors.Is(err, wire.ErrEventTooLarge) {
		e.lost = true
	}
}

// end reads what only the end of the stream completes.
func (e *events) end(keep bool) {
	if e.final != nil || e.lost {
		return
	}
	if last, ok := e.stream.End(); ok {
		e.see(&last, keep)
	}
}

func (e *events) see(ev *wire.Event, keep bool) {
	if ev.HasID {
		e.resumable = true
		if e.keepID {
			e.lastID = append(e.lastID[:0], ev.ID...)
		}
	}
	if !ev.IsMessage() {
		return
	}
	if e.batch != nil {
		e.seeBatch(ev)
		return
	}
	answer, fault := wire.ParseAnswer(ev.Data)
	if fault != nil {
		// Clients give up at a message that is none.
		e.spoke, e.final = true, &final{class: outcome.Failed, failure: span.Unreadable}
		return
	}
	e.changed = e.changed || answer.Kind == wire.Notification && answer.Method == notificationToolsChanged
	if e.unread && answer.Kind == wire.Response {
		e.id, e.unread = idOf(&answer), false
	}
	class := e.tests.class(outcome.Judge(&answer, e.id), ev.Data, &answer)
	if class == outcome.Unrelated && answer.Kind == wire.Response && len(e.id) > 0 {
		// The answer to another call says nothing to this caller and buys no time.
		return
	}
	if e.modern && answer.Kind == wire.Request {
		// No client of this revision may answer it. The call's own answer may come all the
		// same, so it goes by; waiting for it is not worth more time.
		return
	}
	e.spoke = true
	switch {
	case class != outcome.Unrelated:
		e.final = &final{
			class: class, failure: span.FailureOf(&answer), usable: outcome.Answers(&answer, e.id), bare: wire.EmptyObject(answer.Result),
			start: int(ev.Start), end: int(ev.End),
		}
		if keep {
			e.final.result = append([]byte(nil), answer.Result...)
		}
	case e.hurried, answer.Kind == wire.Request:
		// A server's request has to be answered before anything else comes.
		e.commit = true
	}
}
