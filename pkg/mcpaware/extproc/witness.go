package extproc

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// A call that fails in one region and succeeds in another, with the same arguments, is
// a witness against the first one, however few callers there are. The try that fails leaves its
// endpoint and region in the request's metadata, where the next one finds it.

// failedBefore is where the try before failed; empty for a first try.
func failedBefore(attrs attributes) (address, region string) {
	address, region, _ = strings.Cut(attrs.text(names.AttributeFailed), " ")
	return address, region
}

// leaveWord is what a failed try leaves for the next one; nil where there is nothing to say.
func (a *attempt) leaveWord() *structpb.Struct {
	if a.call.GetTool() == "" || a.endpoint.address == "" || a.endpoint.region == "" {
		return nil
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		names.MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			names.MetadataFailed: structpb.NewStringValue(a.endpoint.address + " " + a.endpoint.region),
		}}),
	}}
}

// witness speaks against the region that failed before, where this one succeeded. A second provider
// has done something else, and says nothing about the first.
func (a *attempt) witness(class outcome.Class) {
	if class != outcome.Succeeded || a.second != nil || a.failedRegion == "" || a.failedRegion == a.endpoint.region {
		return
	}
	there := a.asked()
	there.Endpoint, there.Region = a.failedAddress, a.failedRegion
	a.service.opts.Window.Confirm(there)
	a.consider(there)
}
