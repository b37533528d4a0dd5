package extproc

import (
	"slices"
	"strconv"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// offer has a client that opens with a revision which Holdfast does not speak offer one
// that it does, as it would be offered by a server that does not speak the other: servers
// answer with the client's revision where they know it, and the next message would be refused.
func (e *edge) offer() {
	m := &e.decision.Message
	if e.decision.Answer != nil || m.Kind != wire.Request || m.Method != method.Initialize || m.InitVersion == "" || decide.Speaks(m.InitVersion) {
		return
	}
	body, err := wire.SetOfferedVersion(e.request.Body, e.decision.Revision)
	if err != nil {
		// It has been read from there.
		e.service.log.Error("the protocol version is not put in", "error", err)
		return
	}
	changed, fault := wire.ParseRequest(body)
	if fault != nil {
		return
	}
	e.debug("another protocol version is offered", "revision", e.decision.Revision)
	e.rewritten, e.decision.Message.Params = body, changed.Params
	e.decision.SetHeaders = append(e.decision.SetHeaders, decide.HeaderValue{Name: "content-length", Value: strconv.Itoa(len(body))})
}

// capVersions takes out of an answer to server/discover what Holdfast does not speak: a
// client that picked such a revision would be refused with its next message. What is
// remembered is the shorter list.
func (a *attempt) capVersions(f *final) {
	if a.call.GetMethod() != method.ServerDiscover || !f.usable {
		return
	}
	edit := func(answer []byte) ([]byte, error) {
		capped, err := wire.KeepStrings(answer, "supportedVersions", decide.Speaks)
		if err != nil {
			return nil, err
		}
		if f.result != nil {
			if parsed, fault := wire.ParseAnswer(capped); fault == nil {
				f.result = slices.Clone(parsed.Result)
			}
		}
		return capped, nil
	}
	change := edit
	if a.held.events != nil {
		change = func(event []byte) ([]byte, error) { return wire.EditEvent(event, edit) }
	}
	changed, err := change(a.held.body[f.start:f.end])
	if err != nil {
		a.debug("supportedVersions stay as they are", "error", err)
		return
	}
	if len(changed) != f.end-f.start {
		a.exchange(f, changed)
	}
}
