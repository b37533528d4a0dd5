package extproc

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// release answers the held headers, then sends what was held. From here on the
// try cannot be taken back. last: the held body is the whole one.
func (a *attempt) release(set []*corev3.HeaderValueOption, last bool) error {
	a.stopDeadline()
	a.phase = passing
	a.over = a.over || last
	a.watchSilence()
	set = a.trace.released(time.Since(a.started), set)
	if a.endpoint.region != "" {
		set = append(set, setHeader(names.HeaderRegion, a.endpoint.region))
	}
	if a.endpoint.name != "" {
		set = append(set, setHeader(names.HeaderVia, a.endpoint.name))
	}
	if a.second != nil {
		set = append(set, setHeader(names.HeaderDegraded, degrade.SourceFallback))
	}
	if a.held.reduced {
		set = append(set, setHeader(names.HeaderDegraded, degrade.SourceReduced))
	}
	if a.held.spliced {
		set = append(set, setHeader("content-length", strconv.FormatInt(a.held.length, 10)))
	}
	mutation := &extprocv3.HeaderMutation{SetHeaders: set, RemoveHeaders: a.foreign(set)}
	reply := responseHeadersReply(mutation)
	reply.DynamicMetadata = a.held.word
	if err := a.send(reply); err != nil {
		return err
	}
	body := a.held.body
	if !a.held.kept {
		a.held.body = nil
	}
	if len(body) == 0 && !last {
		return nil
	}
	return a.send(responseChunk(body, last))
}

// foreign are the server's headers with Holdfast's prefix that set does not
// overwrite.
func (a *attempt) foreign(set []*corev3.HeaderValueOption) []string {
	return slices.DeleteFunc(a.held.foreign, func(name string) bool {
		return slices.ContainsFunc(set, func(h *corev3.HeaderValueOption) bool { return h.GetHeader().GetKey() == name })
	})
}

// stampVia writes the endpoint's name into the _meta of a small answer. One that
// cannot be changed stays as it is.
func (a *attempt) stampVia(f *final) {
	if !a.stamp || f.bare || a.endpoint.name == "" || len(a.held.body) > maxHeldBytes {
		return
	}
	value, err := jsontext.AppendQuote(nil, a.endpoint.name)
	if err != nil {
		return
	}
	splice := wire.SpliceMeta
	if a.held.events != nil {
		splice = wire.SpliceEvent
	}
	if changed, err := splice(a.held.body[f.start:f.end], names.MetaVia, value); err == nil {
		a.exchange(f, changed)
	}
}

// forward sends a chunk on after the headers are out.
func (a *attempt) forward(chunk []byte, last bool) error {
	if a.deadline != nil {
		a.spokeAt = time.Now()
	}
	a.whole(last)
	switch {
	case a.held.tasks != nil:
		if chunk = a.held.tasks.feed(chunk, last); len(chunk) == 0 && !last {
			return nil
		}
		return a.send(responseChunk(chunk, last))
	case a.held.events != nil && last:
		return a.send(responseChunk(a.epilogue(chunk), true))
	case a.held.kept:
		a.collect(chunk, last)
	}
	if err := a.send(responseChunk(chunk, last)); err != nil {
		return err
	}
	a.follow(chunk, false)
	return nil
}

// follow watches a stream for the answer after the commit: it can be counted and
// remembered still, but not be taken back.
func (a *attempt) follow(chunk []byte, ended bool) {
	e := a.held.events
	if e == nil || e.final != nil {
		return
	}
	keep := a.call.GetCatalogKey() != ""
	e.feed(chunk, keep)
	if ended {
		e.end(keep)
	}
	a.outdate()
	if e.final != nil {
		a.trace.failed(e.final.failure)
		if a.observe(e.final.class) == outcome.Good && e.final.failure == "" {
			a.rememberReplayed()
		}
		a.remember(e.final)
	}
}

// epilogue completes the last bytes of an event stream: where the server ended it
// without an answer, an error takes the answer's place, since many clients wait
// for one until their own timeout. Streams that a client can resume are left alone, and those
// whose length has been announced.
func (a *attempt) epilogue(chunk []byte) []byte {
	a.follow(chunk, true)
	e := a.held.events
	if e == nil || e.final != nil || e.lost || e.resumable || a.held.length >= 0 || a.held.status != 200 {
		return chunk
	}
	a.observe(outcome.Failed)
	a.trace.failed(span.NoAnswer)
	a.debug("event stream ended without an answer")
	return slices.Concat(chunk, a.lastWord(degrade.DependencyFailed))
}

// whole counts a large answer once its end is there. One that breaks before is not
// counted: it may have been the caller who went away, and Envoy counts broken
// connections itself.
func (a *attempt) whole(last bool) {
	if a.held.large && last {
		a.held.large = false
		a.observe(outcome.Succeeded)
	}
}

// cut ends an event that is not whole, under a name that clients pass over.
func (e *events) cut() []byte {
	pending := e.stream.Pending()
	if len(pending) == 0 {
		return nil
	}
	name := "event: holdfast-cut\n\n"
	if end := pending[len(pending)-1]; end != '\n' && end != '\r' {
		name = "\n" + name
	}
	return []byte(name)
}

// collect gathers a large JSON answer that is to be remembered.
func (a *attempt) collect(chunk []byte, last bool) {
	if len(a.held.body)+len(chunk) > maxEventBytes {
		a.held.kept, a.held.body = false, nil
		return
	}
	a.held.body = append(a.held.body, chunk...)
	if !last {
		return
	}
	if parsed, fault := wire.ParseAnswer(a.held.body); fault == nil {
		a.remember(&final{class: outcome.Judge(&parsed, a.call.GetId()), result: parsed.Result})
	}
	a.held.kept, a.held.body = false, nil
}

// remember puts a good answer of a list method into the catalog.
func (a *attempt) remember(f *final) {
	key := a.call.GetCatalogKey()
	if key == "" || f.class != outcome.Succeeded || a.service.opts.Catalog == nil {
		return
	}
	if err := catalog.Acceptable(a.call.GetMethod(), f.result); err != nil {
		a.debug("answer is not remembered", "reason", err)
		return
	}
	entry := &policyv1.CatalogEntry{
		Key: key, Server: a.call.GetServer(), Method: a.call.GetMethod(), Revision: a.call.GetRevision(),
		Result: bytes.Clone(f.result), AsOf: timestamppb.Now(),
	}
	a.service.opts.Catalog.Put(entry)
	if a.call.GetShareable() {
		a.service.opts.Report(entry)
	}
}
