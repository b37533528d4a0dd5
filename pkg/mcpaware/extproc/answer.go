package extproc

import (
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/told"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// maxHeldBytes is how much of an answer is held back at most.
const maxHeldBytes = 64 << 10

// answer is what a server has sent so far in answer to one try.
type answer struct {
	status int
	// length is the content-length, -1 where unknown.
	length int64
	// foreign are headers of Holdfast's and Envoy's that the server sent.
	foreign []string
	// body is what is held back or, where kept, all that has gone by.
	body []byte
	// events follows a text/event-stream; nil for JSON.
	events *events
	// kept: a large JSON body is collected while it passes, to be remembered.
	kept bool
	// retryAfter is the header, as the server wrote it.
	retryAfter string
	// word is left for the next try; nil for an answer that is good.
	word *structpb.Struct
	// large: it passes without having been judged, and counts as good when its end is there.
	large bool
	// refusal: it is held to see whether the words that come with a 4xx answer the request.
	refusal bool
	// spliced: body was changed, and length with it.
	spliced bool
	// reduced: it is a list of which tools were taken out.
	reduced bool
	// tasks: the caller listens to tasks on it; nil for all others.
	tasks *taskStream
}

// onHeaders decides whether the answer is judged by its headers or held.
func (a *attempt) onHeaders(m *extprocv3.HttpHeaders) error {
	h := headers(m.GetHeaders().GetHeaders())
	a.held = answer{status: h.status(), length: h.contentLength(), foreign: h.foreign()}
	a.tests.status = a.held.status
	a.over = m.GetEndOfStream() || !a.duplex
	a.heard()
	a.held.retryAfter = h.first("retry-after")
	a.reduces = a.lists()
	a.load(h)
	if a.sessionForgotten() {
		return a.forgetSession()
	}
	if a.streamless() {
		return a.notAllowed()
	}
	a.asking = nil
	if a.verb != "POST" || !awaited(a.call) {
		return a.pass()
	}
	if said, err := a.byStatus(h); said {
		return err
	}
	media, readable := h.mediaType(), h.first("content-encoding") == "" || h.first("content-encoding") == "identity"
	isJSON := media == "application/json" && readable
	isEvents := media == "text/event-stream" && readable
	if isEvents && a.followTasks() {
		return a.pass()
	}
	if a.held.status != 200 && (a.over || !isJSON) {
		if said, err := a.byTests(false); said {
			return err
		}
	}
	switch {
	case a.held.status >= 500 && (a.over || !isJSON):
		return a.judged(a.observeBroken(), false, false)
	case a.held.status == 200 && m.GetEndOfStream():
		// A request was answered with nothing at all.
		return a.judged(a.observe(outcome.Failed), false, false)
	case a.held.status < 300 && !(isJSON && a.odd()) && (a.held.status != 200 || readable && !isJSON && !isEvents):
		// No client finds an answer to its request in there, and some wait for ever.
		return a.judged(a.observe(outcome.Failed), false, false)
	case a.held.status < 500 && a.held.status != 200 && (a.over || !isJSON || !a.odd()):
		return a.refusal(h)
	case a.over, !isJSON && !isEvents:
		return a.pass()
	case isJSON && a.held.length > int64(a.holdLimit()):
		return a.passLarge()
	}
	if isEvents {
		a.held.events = &events{
			stream: wire.NewEventStream(maxEventBytes), id: a.call.GetId(), tests: &a.tests,
			unread: unread(a.call), hurried: a.call.GetProgress() && !a.reduces || streams(a.call.GetMethod()), modern: a.call.GetRevision() == degrade.ModernRevision,
			batch: newBatchEvents(a.call.GetBatchIds()), keepID: a.call.GetSession().GetReinitialize(),
		}
	}
	a.phase = holding
	return a.startDeadline()
}

// load has the control plane know what the endpoint says of its own load.
func (a *attempt) load(h headers) {
	t := a.service.opts.Told
	if t == nil {
		return
	}
	if text := h.first(told.HeaderLoad); text != "" {
		if l, ok := told.ParseLoad(text); ok {
			t.Say(a.endpoint.server.GetName(), a.endpoint.address, l)
		}
	} else if text := h.first(told.HeaderLoadBinary); text != "" {
		if l, ok := told.ParseLoadBinary(text); ok {
			t.Say(a.endpoint.server.GetName(), a.endpoint.address, l)
		}
	}
}

// streams says whether a method is answered by a stream that stays open, whose
// first message the caller waits for.
func streams(name string) bool {
	info, ok := method.Lookup(name)
	return ok && info.Stream
}

func (a *attempt) onBody(chunk []byte, last bool) error {
	a.over = last
	switch a.phase {
	case holding:
		a.held.body = append(a.held.body, chunk...)
		return a.weigh(chunk, last, last)
	case passing:
		return a.forward(chunk, last)
	case waiting, closed:
	}
	return a.send(responseChunk(chunk, last))
}

func (a *attempt) onTrailers() error {
	a.over = true
	var err error
	switch a.phase {
	case holding:
		err = a.weigh(nil, true, false)
	case passing:
		a.whole(true)
		extra := a.epilogue(nil)
		if a.held.tasks != nil {
			extra = a.held.tasks.feed(nil, true)
		}
		if len(extra) > 0 {
			err = a.send(responseChunk(extra, false))
		}
	case waiting, closed:
	}
	if err != nil {
		return err
	}
	return a.send(responseTrailersReply())
}

// weigh looks whether what is held can be judged. ended: no more body comes;
// last: it is the last chunk that says so, and not the trailers.
func (a *attempt) weigh(chunk []byte, ended, last bool) error {
	if a.held.events != nil {
		return a.weighEvents(chunk, ended, last)
	}
	size := int64(len(a.held.body))
	switch {
	// Envoy says in a message of its own that nothing comes after the last byte, so an answer
	// whose length is announced is not let go before that: head, body and end leave at once.
	case ended:
		return a.judgeJSON(last)
	case size > maxHeldBytes && a.held.status >= 500:
		return a.judged(a.observeBroken(), false, false)
	case size > maxHeldBytes && a.held.refusal:
		return a.release(nil, last)
	case size > int64(a.holdLimit()):
		return a.passLarge()
	}
	return nil
}

func (a *attempt) judgeJSON(last bool) error {
	body := a.held.body
	if len(a.call.GetBatchIds()) > 0 {
		f := a.judgeBatch(body)
		return a.finish(&f, last)
	}
	parsed, fault := wire.ParseAnswer(body)
	if fault == nil && unread(a.call) {
		a.call.Id = idOf(&parsed)
	}
	if a.held.refusal {
		return a.refused(fault == nil && outcome.Answers(&parsed, a.call.GetId()), last)
	}
	if a.odd() {
		return a.weighOdd(&parsed, fault == nil, last)
	}
	f := final{class: outcome.Failed, end: len(body), failure: span.Unreadable}
	if fault == nil {
		f.failure = span.FailureOf(&parsed)
		// An answer to something else leaves the caller waiting for ever.
		if class := outcome.Judge(&parsed, a.call.GetId()); class != outcome.Unrelated {
			f.class, f.usable = a.tests.class(class, body, &parsed), outcome.Answers(&parsed, a.call.GetId())
		}
		f.result, f.bare = parsed.Result, wire.EmptyObject(parsed.Result)
	}
	if a.held.status >= 500 && !f.usable {
		if said, err := a.byTests(last); said {
			return err
		}
	}
	return a.finish(&f, last)
}

func (a *attempt) weighEvents(chunk []byte, ended, last bool) error {
	e := a.held.events
	e.feed(chunk, a.keeps())
	if ended {
		e.end(a.keeps())
	}
	a.outdate()
	switch {
	case e.final != nil:
		// Notifications before it, held or not yet due, go out with it.
		return a.finish(e.final, last)
	case ended && (e.resumable || e.lost):
		// The client comes back for the rest with the last event's id.
		return a.release(nil, last)
	case ended:
		return a.judged(a.observe(outcome.Failed), false, last)
	case e.commit, e.lost, len(a.held.body) > a.holdLimit(), e.resumable && a.call.GetSession() != nil && !a.reduces:
		// The last: nobody else can be asked in a session, and a client whose connection breaks
		// comes back only if it has been given an event's id.
		if handled, err := a.tooLong(); handled {
			return err
		}
		return a.release(nil, last)
	}
	return nil
}

// finish acts on an answer that is whole and still held.
func (a *attempt) finish(f *final, last bool) error {
	if a.held.status >= 500 && !f.usable {
		// Not an answer to the call: the status is all there is to go by.
		return a.judged(a.observeBroken(), false, last)
	}
	a.capVersions(f)
	a.trace.failed(f.failure)
	verdict := a.observe(f.class)
	a.witness(f.class)
	if f.class != outcome.Failed && a.held.status >= 500 {
		verdict = outcome.CallerFault
	}
	if verdict == outcome.Good {
		a.remember(f)
		a.rememberResult(f)
		if f.failure == "" {
			a.rememberReplayed()
		}
	}
	if !a.translate(f) {
		return a.judged(outcome.ToolFailed, false, last)
	}
	if verdict == outcome.Good {
		a.reduce(f)
	}
	if f.usable {
		a.sealTasks(f)
		a.stampVia(f)
	}
	return a.judged(verdict, f.usable, last)
}

// late is the verdict when the time of the try is up: a server that has said
// something is heard out, one that has not is given up.
func (a *attempt) late() error {
	if e := a.held.events; e != nil && e.spoke {
		return a.release(nil, false)
	}
	if a.held.events == nil && a.held.length >= 0 && int64(len(a.held.body)) >= a.held.length {
		return a.judgeJSON(false)
	}
	verdict := outcome.Timeout
	if a.held.status >= 500 {
		verdict = outcome.EndpointFailed
	}
	if a.observe(outcome.Failed) == outcome.EndpointFailed && verdict == outcome.Timeout {
		return a.fail(outcome.Timeout, names.StatusEndpointFailed, false, false)
	}
	return a.judged(verdict, false, false)
}

// judged writes a verdict into :status and lets the answer go.
func (a *attempt) judged(v outcome.Verdict, usable, last bool) error {
	status := a.held.status
	switch v {
	case outcome.Good:
		return a.release(nil, last)
	case outcome.TooBusy:
		// The status is the server's own; a safe route retries it.
	case outcome.CallerFault:
		// Envoy retries and counts by status alone; the edge point restores it.
		status = 200
	case outcome.ToolFailed, outcome.Timeout:
		status = names.StatusToolFailed
	case outcome.EndpointFailed:
		// Envoy knows no failures above 599.
		if status < 500 || status > 599 {
			status = names.StatusEndpointFailed
		}
	}
	return a.fail(v, status, usable, last)
}

func (a *attempt) fail(v outcome.Verdict, status int, usable, last bool) error {
	a.trace.judged(v, span.Failure(v))
	status, wait := a.pace(status)
	report := outcome.Report{Verdict: v, Status: a.held.status, Usable: usable}
	a.debug("verdict", "verdict", v, "status", a.held.status, "envoy_status", status, "elapsed", time.Since(a.started))
	set := []*corev3.HeaderValueOption{setHeader(names.HeaderVerdict, report.String())}
	if status != a.held.status {
		set = append(set, setHeader(":status", strconv.Itoa(status)))
	}
	if wait > 0 {
		set = append(set, setHeader(names.HeaderRetryAfter, strconv.FormatInt(wait, 10)))
	}
	if failing(v) {
		a.held.word = a.leaveWord()
	}
	return a.release(set, last)
}

// pass lets an answer go that is not looked into.
func (a *attempt) pass() error { return a.release(nil, false) }

// passLarge lets a JSON answer go that is too large to be held. Errors are hardly
// ever that long.
func (a *attempt) passLarge() error {
	if handled, err := a.tooLong(); handled {
		return err
	}
	a.held.large = true
	a.whole(a.over)
	a.held.kept = a.call.GetCatalogKey() != "" && a.held.length <= maxEventBytes
	return a.release(nil, false)
}
