package extproc

import (
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

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
