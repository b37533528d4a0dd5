package extproc

import (
	"encoding/base64"
	"strconv"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Tasks outside of sessions: a server keeps a task in one process, so the id that the
// client gets names that process, sealed. The attempt point seals, since it knows who
// answers and holds the answer; the edge point opens, and puts the server's own id back.

var _ decide.TaskOwners = (*edge)(nil)

// TaskOwner implements decide.TaskOwners.
func (e *edge) TaskOwner(token string) (server string, known bool) {
	if !session.IsTask(token) {
		// Not sealed, so its server is asked, which may know nothing of tasks.
		return "", true
	}
	task, err := e.session.keyring.OpenTask(token)
	if err != nil {
		return "", false
	}
	owner, ok := e.decision.Route.Server(task.Server)
	if !ok || !task.Principal.Admits(e.principal(owner)) {
		return "", false
	}
	e.task = &policyv1.CallTask{Token: token, UpstreamId: task.UpstreamID, Endpoint: task.Endpoint}
	return task.Server, true
}

// joinTask prepares a message that is about a task, or whose answer may be one: it is
// sent to the endpoint that has the task, under the id that this one knows.
func (e *edge) joinTask() {
	call := e.decision.Call
	if e.session.keyring == nil || call == nil || e.decision.InSession || !e.namesTasks() {
		return
	}
	server, ok := e.decision.Route.Server(e.decision.Action.GetServer())
	if !ok || len(server.GetEndpoints()) == 0 {
		return
	}
	if e.task == nil {
		e.task = &policyv1.CallTask{}
	}
	e.task.Principal = e.principal(server).Bytes()
	call.Task = e.task
	if e.task.GetToken() == "" {
		return
	}
	body, err := wire.SetTaskID(e.request.Body, e.task.GetUpstreamId())
	if err != nil {
		// The edge point has read the id from there.
		e.service.log.Error("the id of a task is not put in", "error", err)
		return
	}
	e.rewritten = body
	e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: "content-length", Value: strconv.Itoa(len(body))})
	if e.decision.Revision == degrade.ModernRevision {
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: "mcp-name", Value: decide.EncodeHeader(e.task.GetUpstreamId())})
	}
	if len(server.GetEndpoints()) > 1 {
		e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{
			Name: names.HeaderEndpointOnly, Value: base64.StdEncoding.EncodeToString([]byte(e.task.GetEndpoint())),
		})
	}
}

// namesTasks says whether the answer to the message may name a task.
func (e *edge) namesTasks() bool {
	m := &e.decision.Message
	if m.Kind != wire.Request {
		return false
	}
	info, _ := method.Lookup(m.Method)
	return m.WelcomesTask && m.Method == method.ToolsCall || info.Target == method.TaskID || m.Method == method.TasksList
}

// rewrite puts the changed body into the reply that sends it on.
func (e *edge) rewrite(reply *extprocv3.ProcessingResponse) {
	if body := e.rewritten; body != nil {
		e.rewritten = nil
		reply.GetRequestBody().GetResponse().BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: body}}
	}
}

// strayed says that Envoy could not reach the endpoint of the task and has picked another,
// which would say that there is no such task.
func (a *attempt) strayed() bool {
	owner := a.call.GetTask().GetEndpoint()
	return owner != "" && a.endpoint.address != "" && owner != a.endpoint.address
}

// outOfReach is the answer in its place: the task may be there when its endpoint is back.
func (a *attempt) outOfReach() *degrade.Answer {
	answer := degrade.Render(a.call, degrade.New(degrade.ServiceUnavailable, degrade.NotExecuted, a.call, ""), policyv1.ErrorStyle_ERROR_STYLE_MCP)
	return &answer
}

// sealTasks puts sealed ids in the place of the server's in an answer that is held. One
// that cannot be sealed stays as it is, and is found only where the server has one endpoint.
func (a *attempt) sealTasks(f *final) {
	if !f.usable {
		return
	}
	seal := a.taskSealer()
	if seal == nil {
		return
	}
	edit := func(answer []byte) ([]byte, error) { return wire.EditTaskIDs(answer, seal) }
	change := edit
	if a.held.events != nil {
		change = func(event []byte) ([]byte, error) { return wire.EditEvent(event, edit) }
	}
	changed, err := change(a.held.body[f.start:f.end])
	if err != nil {
		a.service.log.Warn("the ids of tasks in an answer are not sealed", "server", a.call.GetServer(), "error", err)
		return
	}
	a.exchange(f, changed)
}

// taskSealer gives the caller's id for one of the server's; nil where nothing is sealed.
func (a *attempt) taskSealer() func(id string) string {
	task := a.call.GetTask()
	if task == nil || a.endpoint.address == "" || a.service.opts.Keyring == nil {
		return nil
	}
	ring := a.service.opts.Keyring()
	principal, ok := session.PrincipalFrom(task.GetPrincipal())
	if ring == nil || !ok {
		return nil
	}
	return func(id string) string {
		if known, ok := task.GetListened()[id]; ok {
			return known
		}
		if id == task.GetUpstreamId() {
			return task.GetToken()
		}
		token, err := ring.SealTask(session.Task{
			Server: a.call.GetServer(), Endpoint: a.endpoint.address, UpstreamID: id, Principal: principal,
		}, time.Now())
		if err != nil {
			a.service.log.Warn("the id of a task is not sealed", "server", a.call.GetServer(), "error", err)
			return id
		}
		return token
	}
}
