package extproc

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// Lists of tools are given without those that nobody can call just now. Only the attempt point sees a
// list, and changes it where it is held: of a list that may have to be changed up to a MiB is, whatever
// comes before it on its stream. The catalog remembers it whole.

// withholding says which tools of a route are left out; nil where none can be.
func (s *Service) withholding(route *decide.Route) decide.Broken {
	if route == nil || s.opts.Reach.Quiet() && s.opts.Breakers.Quiet() {
		return nil
	}
	return func(server, tool string) string {
		// Of the server that has given the list, or whose list is remembered, it is known.
		if since, down := s.opts.Reach.Down(server); down && server != route.ListServer() {
			return "the server cannot be reached since " + since.UTC().Format("15:04:05")
		}
		known, ok := route.Server(server)
		if !ok {
			return ""
		}
		reason, _ := s.opts.Breakers.Nowhere(server, tool, known.GetRegions())
		return reason
	}
}

// reduced gives a list without the tools that nobody can call, and their names; path leads to the result.
func (s *Service) reduced(route *decide.Route, broken decide.Broken, object []byte, path ...string) (list []byte, withheld []string) {
	policy := route.Policy().GetName()
	list, err := wire.KeepElements(object, func(element jsontext.Value) bool {
		raw, _ := wire.Find(element, "name")
		name, ok := wire.Unquote(raw)
		if !ok {
			return true
		}
		server, why := route.Withheld(name, broken)
		s.reductions.note(s.log, policy, name, server, why)
		if why != "" {
			withheld = append(withheld, name)
		}
		return why == ""
	}, append(slices.Clone(path), "tools")...)
	if err != nil {
		return object, nil
	}
	return list, withheld
}

// lists says that the try is for a list of tools which may have to be reduced, or was a moment ago.
func (a *attempt) lists() bool {
	return a.call.GetMethod() == method.ToolsList && a.route != nil && (a.service.withholding(a.route) != nil || a.service.reductions.any())
}

// holdLimit is how much of the answer is held at most.
func (a *attempt) holdLimit() int {
	if a.reduces {
		return maxEventBytes
	}
	return maxHeldBytes
}

// reduce takes tools out of a list that is held.
func (a *attempt) reduce(f *final) {
	if !a.reduces || !f.usable {
		return
	}
	broken := a.service.withholding(a.route)
	if broken == nil {
		broken = func(string, string) string { return "" }
	}
	var withheld []string
	edit := func(answer []byte) ([]byte, error) {
		var list []byte
		if list, withheld = a.service.reduced(a.route, broken, answer, "result"); len(withheld) == 0 {
			return answer, nil
		}
		return degrade.Reduced(list, a.call.GetRevision(), withheld)
	}
	change := edit
	if a.held.events != nil {
		change = func(event []byte) ([]byte, error) { return wire.EditEvent(event, edit) }
	}
	changed, err := change(a.held.body[f.start:f.end])
	if err != nil {
		a.service.log.Warn("a list of tools is not reduced", "server", a.call.GetServer(), "error", err)
		return
	}
	if len(withheld) > 0 {
		a.exchange(f, changed)
		a.held.reduced = true
	}
}

// reduceStale takes tools out of a remembered list.
func (e *edge) reduceStale(entry *policyv1.CatalogEntry) (*policyv1.CatalogEntry, []string) {
	broken := e.service.withholding(e.decision.Route)
	if broken == nil || entry.GetMethod() != method.ToolsList {
		return entry, nil
	}
	list, withheld := e.service.reduced(e.decision.Route, broken, entry.GetResult())
	if len(withheld) == 0 {
		return entry, nil
	}
	return &policyv1.CatalogEntry{Key: entry.GetKey(), Server: entry.GetServer(), Method: entry.GetMethod(), Result: list, AsOf: entry.GetAsOf()}, withheld
}

// maxReductions bounds the tools that are remembered as left out.
const maxReductions = 4096

// reductions are the tools that lists lack, so that the log says of each once that it is left out, and once
// that it is back. It is safe for concurrent use.
type reductions struct {
	mu  sync.Mutex
	out map[[2]string]struct{}
}

func (r *reductions) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.out) > 0
}

func (r *reductions) note(log *slog.Logger, policy, tool, server, why string) {
	key := [2]string{policy, tool}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.out[key]
	switch {
	case why != "" && !known && len(r.out) < maxReductions:
		if r.out == nil {
			r.out = map[[2]string]struct{}{}
		}
		r.out[key] = struct{}{}
		log.Warn("tool left out of lists", "route", policy, "tool", clip(tool), "server", server, "reason", why)
	case why == "" && known:
		delete(r.out, key)
		log.Info("tool in lists again", "route", policy, "tool", clip(tool))
	}
}
