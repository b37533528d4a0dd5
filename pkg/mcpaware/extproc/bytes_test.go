package extproc

import (
	"bytes"
	"testing"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// recorder keeps the body that goes on to the caller, and what comes out of order.
type recorder struct {
	sink
	t       *testing.T
	headers int
	body    bytes.Buffer
	last    bool
}

func (r *recorder) Send(reply *extprocv3.ProcessingResponse) error {
	switch m := reply.GetResponse().(type) {
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		r.headers++
	case *extprocv3.ProcessingResponse_ResponseBody:
		if r.headers != 1 || r.last {
			r.t.Errorf("a chunk after %d header replies, after the last one: %v", r.headers, r.last)
		}
		chunk := m.ResponseBody.GetResponse().GetBodyMutation().GetStreamedResponse()
		r.body.Write(chunk.GetBody())
		r.last = chunk.GetEndOfStream()
	case *extprocv3.ProcessingResponse_ImmediateResponse:
		r.t.Error("the attempt point sent an immediate response")
	}
	return nil
}

// FuzzAttemptKeepsBytes feeds hostile answers in hostile pieces: whatever a server
// sends goes on unchanged, once, in order, after one reply to the headers, but for an
// error event that may follow it.
func FuzzAttemptKeepsBytes(f *testing.F) {
	for _, body := range []string{
		goodResult, brokenResult, "", "{", event(goodResult), event(progress) + event(brokenResult),
		": ping\n\nid: 1\ndata:\n\n" + event(elicitation), "data: {\r\ndata: }\r\n\r\n", "\ufeffdata: x\r\r",
	} {
		for _, sse := range []bool{true, false} {
			f.Add([]byte(body), uint8(3), sse, true, uint16(200))
			f.Add([]byte(body), uint8(255), sse, false, uint16(500))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, piece uint8, sse, hurried bool, status uint16) {
		policy := shopmax()
		policy.StampVia = false
		table := compile(t, policy)
		r := &recorder{t: t}
		call := getOrder(nil)
		call.Progress = hurried
		a := newAttempt(New(Options{Table: func() *decide.Table { return table }}), r)
		defer a.close()
		media := "application/json"
		if sse {
			media = "text/event-stream"
		}
		messages := []*extprocv3.ProcessingRequest{tryHeaders(t, "POST", call), responseHeaders(false, ":status: "+string(rune('0'+status/100%10))+"00", "content-type: "+media)}
		size := int(piece) + 1
		for rest := body; ; {
			n := min(size, len(rest))
			messages = append(messages, responseBody(string(rest[:n]), n == len(rest)))
			if rest = rest[n:]; len(rest) == 0 {
				break
			}
		}
		for _, m := range messages {
			if _, err := a.handle(m); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(r.body.Bytes(), body) || !r.last {
			t.Errorf("%q became %q, last %v", body, r.body.Bytes(), r.last)
		}
		if extra := r.body.Bytes()[len(body):]; len(extra) > 0 && (!sse || !bytes.HasSuffix(extra, []byte("\n\n"))) {
			t.Errorf("%q was added", extra)
		}
	})
}

func TestStreamModesAreThoseOfTheFilter(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		// The route has turned the body off: there is nothing to wait for.
		x := e.open(names.PointAttempt)
		req := tryHeaders(t, "POST", getOrder(nil))
		req.ProtocolConfig.ResponseBodyMode = filterv3.ProcessingMode_NONE
		x.say(req)
		if got := x.say(responseHeaders(false, eventHeaders...)); len(got) != 1 || got[0] != passedOn {
			t.Errorf("headers: %q", got)
		}
		if err := x.end(); err.Error() != "EOF" {
			t.Errorf("the stream ended with %v", err)
		}
	})
}
