package extproc

import (
	"bytes"
	"encoding/base64"
	"strconv"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// A caller of 2026-07-28 that listens to tasks names them by the ids that it was given, and
// hears of them by the same. One stream comes from one endpoint, so it is told of the tasks
// which that one has; the server says with its first message what it listens to. Streams on
// which nobody listens to tasks never come here.

// maxListened bounds the tasks that are listened to by one request; of more, the first count.
const maxListened = 64

// listenToTasks sends a request to listen to the endpoint that has the tasks it names, under
// the ids that this one knows. A task that is elsewhere, or not the caller's, is left out.
func (e *edge) listenToTasks() {
	m := &e.decision.Message
	if e.session.keyring == nil || m.Kind != wire.Request || m.Method != method.SubscriptionsListen || e.decision.InSession {
		return
	}
	server, ok := e.decision.Route.Server(e.decision.Action.GetServer())
	if !ok || len(server.GetEndpoints()) == 0 || e.decision.Route.Policy().GetListenTasks().GetServer() != server.GetName() {
		return
	}
	principal := e.principal(server)
	task := &policyv1.CallTask{Principal: principal.Bytes(), Listened: map[string]string{}}
	body, err := wire.EditListenedTasks(e.request.Body, func(id string) (string, bool) {
		if len(task.Listened) == maxListened {
			return "", false
		}
		if !session.IsTask(id) {
			// Its server knows best what it means, and says it by the same name.
			task.Listened[id] = id
			return id, true
		}
		owner, err := e.session.keyring.OpenTask(id)
		if err != nil || owner.Server != server.GetName() || !owner.Principal.Admits(principal) {
			return "", false
		}
		if task.Endpoint == "" {
			task.Endpoint = owner.Endpoint
		}
		if owner.Endpoint != task.Endpoint {
			return "", false
		}
		task.Listened[owner.UpstreamID] = id
		return owner.UpstreamID, true
	})
	if err != nil {
		// The edge point has read the message.
		e.service.log.Error("the ids of tasks to listen to are not put in", "error", err)
		return
	}
	if len(body) != len(e.request.Body) || !bytes.Equal(body, e.request.Body) {
		e.rewritten = body
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: "content-length", Value: strconv.Itoa(len(body))})
	}
	if len(task.GetListened()) == 0 {
		return
	}
	e.decision.ListenToTasks()
	e.decision.Call.Task = task
	if task.GetEndpoint() != "" && len(server.GetEndpoints()) > 1 {
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{
			Name: names.HeaderEndpointOnly, Value: base64.StdEncoding.EncodeToString([]byte(task.GetEndpoint())),
		})
	}
}

// taskStream is an event stream on which a caller listens to tasks. Whole events leave it, those
// that name a task under the caller's id of it, all others as they came.
type taskStream struct {
	events *wire.EventStream
	seal   func(id string) string
	// lost: an event was too large, so nothing is looked at any more.
	lost bool
}

// followTasks takes over an answer on which a caller listens to tasks; false for all others.
func (a *attempt) followTasks() bool {
	if !a.duplex || a.held.status != 200 || a.call.GetTask().GetListened() == nil || !streams(a.call.GetMethod()) {
		return false
	}
	seal := a.taskSealer()
	if seal == nil {
		return false
	}
	a.held.tasks = &taskStream{events: wire.NewEventStream(maxEventBytes), seal: seal}
	if a.held.length >= 0 {
		// Events change their length.
		a.held.foreign = append(a.held.foreign, "content-length")
	}
	return true
}

// feed takes the next bytes of the stream and gives those that can go on.
func (s *taskStream) feed(chunk []byte, last bool) []byte {
	if s.lost {
		return chunk
	}
	var out []byte
	events, err := s.events.Feed(chunk)
	for i := range events {
		out = append(out, s.edited(&events[i])...)
	}
	s.lost = err != nil
	if last && !s.lost {
		if event, ok := s.events.End(); ok {
			return append(out, s.edited(&event)...)
		}
	}
	if s.lost || last {
		out = append(out, s.events.Pending()...)
	}
	return out
}

// edited is an event as the caller gets it. What cannot be read, or is no message in one line, stays as it is.
func (s *taskStream) edited(event *wire.Event) []byte {
	if !event.IsMessage() {
		return event.Raw
	}
	raw, err := wire.EditEvent(event.Raw, func(data []byte) ([]byte, error) { return wire.EditTaskIDs(data, s.seal) })
	if err != nil {
		return event.Raw
	}
	return raw
}
