package extproc

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// maxCallBytes bounds a serialised call context; a longer one is passed over.
const maxCallBytes = 128 << 10

// phase is where the answer of a try stands.
type phase int

const (
	// waiting for response headers.
	waiting phase = iota
	// holding the headers' reply until the answer can be judged.
	holding
	// passing: the headers are out, the body goes on as it comes.
	passing
	// closed: the stream is over; nothing is sent any more.
	closed
)

// attempt is one try. The goroutine that reads the stream runs it; the deadline
// of a held answer comes from a timer of its own, so mu guards everything from
// phase on, sending included.
type attempt struct {
	service *Service
	stream  extprocv3.ExternalProcessor_ProcessServer

	// call is what the edge point said; nil for requests without a body and those
	// that passed it by.
	call *policyv1.CallContext
	verb string
	// duplex: response bodies come here, and every chunk has to be sent back.
	duplex bool
	stamp  bool
	// second: the try goes to the second provider of the call.
	second   *second
	endpoint endpoint
	started  time.Time
	// failedAddress and failedRegion are where the try before failed.
	failedAddress, failedRegion string
	// route of the policies in force; nil where they do not know it any more. reduces: the answer is a list
	// of tools that may have to lack some.
	route   *decide.Route
	reduces bool
	// tests of the operator, for answers to this call.
	tests tests
	// trace is nil where the call is not traced.
	trace *tryTrace
	// asking is the header of a request in a session that may be opened again, until its
	// answer begins; nil for all others.
	asking headers

	mu    sync.Mutex
	phase phase
	// over: no message is expected after this one.
	over bool
	held answer
	// deadline of the try, then of the held answer, then of the silence between two
	// events; nil where there is none.
	deadline *time.Timer
	// spokeAt is when the last piece of a stream came that is watched for silence.
	spokeAt time.Time
}

func newAttempt(s *Service, stream extprocv3.ExternalProcessor_ProcessServer) *attempt {
	return &attempt{service: s, stream: stream}
}

func (a *attempt) run() error {
	defer a.close()
	for {
		req, err := a.stream.Recv()
		if err != nil {
			return err
		}
		over, err := a.handle(req)
		if err != nil || over {
			return err
		}
	}
}

// close waits for a deadline that is being acted on and stops one that is not.
func (a *attempt) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silence()
	a.leaveStream()
	a.trace.end(a)
	a.phase = closed
	a.stopDeadline()
}

func (a *attempt) handle(req *extprocv3.ProcessingRequest) (over bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch m := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		err = a.onRequest(req, m.RequestHeaders)
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		err = a.onHeaders(m.ResponseHeaders)
	case *extprocv3.ProcessingRequest_ResponseBody:
		err = a.onBody(m.ResponseBody.GetBody(), m.ResponseBody.GetEndOfStream())
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		err = a.onTrailers()
	default:
		err = unexpected(names.PointAttempt, req)
	}
	return a.over, err
}

// onRequest learns where the try goes and takes Holdfast's headers off it.
func (a *attempt) onRequest(req *extprocv3.ProcessingRequest, m *extprocv3.HttpHeaders) error {
	h := headers(m.GetHeaders().GetHeaders())
	a.started = time.Now()
	a.verb = h.first(":method")
	a.duplex = req.GetProtocolConfig().GetResponseBodyMode() == filterv3.ProcessingMode_FULL_DUPLEX_STREAMED
	attrs := attributesOf(req)
	if encoded := attrs.call(); encoded != "" && len(encoded) <= maxCallBytes {
		call, err := decide.DecodeCall(encoded)
		if err != nil {
			return err
		}
		a.call = call
	}
	a.failedAddress, a.failedRegion = failedBefore(attrs)
	mutation := &extprocv3.HeaderMutation{RemoveHeaders: h.own()}
	reply := &extprocv3.CommonResponse{HeaderMutation: mutation}
	a.turn(attrs.server(), h, reply)
	a.locate(attrs)
	a.trace = a.traceTry()
	if a.strayed() {
		a.over = true
		return a.send(immediate(a.outOfReach()))
	}
	if a.call.GetSession() != nil {
		answer, err := a.findSession(h, mutation)
		if err != nil {
			a.over = true
			return err
		}
		if answer != nil {
			a.over = true
			return a.send(immediate(answer))
		}
		if a.call.GetSession().GetReinitialize() {
			a.asking = h
		}
	}
	a.countTry()
	a.countRetry()
	if a.giveUpLater(); a.over {
		return a.send(immediate(a.outOfTime()))
	}
	return a.send(requestHeadersReply(reply))
}

// onDeadline ends the wait for an answer that did not come, or not as a whole, in time.
func (a *attempt) onDeadline() {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() {
		if fault := recover(); fault != nil {
			a.phase = closed
			a.service.log.Error("deadline failed", "fault", fault, "stack", string(debug.Stack()))
		}
	}()
	switch a.phase {
	case waiting:
		a.giveUp()
		return
	case holding:
	case passing, closed:
		return
	}
	// An error here is the stream's, which the reader of the stream sees as well.
	if err := a.late(); err != nil {
		a.service.log.Debug("verdict not sent", "error", err)
	}
}

func (a *attempt) startDeadline() error {
	limit := a.call.GetPerTryTimeout().AsDuration()
	if limit <= 0 {
		return nil
	}
	left := min(limit-time.Since(a.started), a.left())
	if left <= 0 {
		return a.late()
	}
	if a.deadline != nil {
		// One that has fired meanwhile finds nothing to do, or that time is up indeed.
		a.deadline.Reset(left)
		return nil
	}
	a.deadline = time.AfterFunc(left, a.onDeadline)
	return nil
}

func (a *attempt) stopDeadline() {
	if a.deadline != nil {
		a.deadline.Stop()
		a.deadline = nil
	}
}

func (a *attempt) send(resp *extprocv3.ProcessingResponse) error {
	if a.phase == closed {
		return nil
	}
	return a.stream.Send(resp)
}

func (a *attempt) debug(msg string, args ...any) {
	ctx := context.Background()
	if !a.service.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	a.service.log.Debug(msg, append([]any{ //nolint:sloglint // the callers' literals
		"server", a.call.GetServer(), "method", a.call.GetMethod(), "tool", a.call.GetTool(),
		"endpoint", a.endpoint.address, "region", a.endpoint.region, "attempt", a.endpoint.attempt,
	}, args...)...)
}
