package server

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// copyBelow is the size of a delta response's resources in bytes up to which it is made in one
// piece: a copy costs less than many pieces.
const copyBelow = 64 << 10

// codec marshals as the one that it embeds does, but for delta responses with many resources:
// their bodies go out from where they are, shared by all streams. A fleet that connects at once
// would otherwise have as many copies of everything under way.
type codec struct{ encoding.CodecV2 }

// Marshal gives a message's serialisation in pieces.
func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	if resp, ok := message.(*discoveryv3.DeltaDiscoveryResponse); ok && large(resp) && plain(resp) {
		return pieces(resp), nil
	}
	return c.CodecV2.Marshal(message)
}

func large(resp *discoveryv3.DeltaDiscoveryResponse) bool {
	size := 0
	for _, r := range resp.GetResources() {
		size += len(r.GetResource().GetValue())
	}
	return size > copyBelow
}

// plain says that a response has nothing but what the delta cache puts there.
func plain(resp *discoveryv3.DeltaDiscoveryResponse) bool {
	if resp.GetControlPlane() != nil || len(resp.GetRemovedResourceNames())+len(resp.GetResourceErrors())+len(resp.ProtoReflect().GetUnknown()) > 0 {
		return false
	}
	for _, r := range resp.GetResources() {
		if r.GetResource() == nil || r.GetResourceName() != nil || r.GetTtl() != nil || r.GetCacheControl() != nil || r.GetMetadata() != nil ||
			len(r.GetAliases())+len(r.ProtoReflect().GetUnknown())+len(r.GetResource().ProtoReflect().GetUnknown()) > 0 {
			return false
		}
	}
	return true
}

// Numbers of fields of envoy.service.discovery.v3.DeltaDiscoveryResponse, of its Resource and of
// google.protobuf.Any.
const (
	responseVersion   = 1
	responseResources = 2
	responseTypeURL   = 4
	responseNonce     = 5
	responseRemoved   = 6
	resourceVersion   = 1
	resourceAny       = 2
	resourceName      = 3
	anyTypeURL        = 1
	anyValue          = 2
)

// pieces gives the bodies of a response as they are, and between them what stands around them,
// all of it in one buffer that has room for it from the start.
func pieces(resp *discoveryv3.DeltaDiscoveryResponse) mem.BufferSlice {
	around := sizeString(resp.GetSystemVersionInfo()) + sizeString(resp.GetTypeUrl()) + sizeString(resp.GetNonce())
	for _, name := range resp.GetRemovedResources() {
		around += sizeString(name)
	}
	// Three lengths for each resource, of it, of the Any and of the value.
	const lengths = 3 * (1 + 10)
	for _, r := range resp.GetResources() {
		around += lengths + sizeString(r.GetVersion()) + sizeString(r.GetName()) + sizeString(r.GetResource().GetTypeUrl())
	}
	text := make([]byte, 0, around)
	out := make(mem.BufferSlice, 0, 2*len(resp.GetResources())+1)
	text = appendString(text, responseVersion, resp.GetSystemVersionInfo())
	text = appendString(text, responseTypeURL, resp.GetTypeUrl())
	text = appendString(text, responseNonce, resp.GetNonce())
	for _, name := range resp.GetRemovedResources() {
		// Also an empty one: it is an element of a list.
		text = protowire.AppendTag(text, responseRemoved, protowire.BytesType)
		text = protowire.AppendString(text, name)
	}
	from := 0
	for _, r := range resp.GetResources() {
		body := r.GetResource()
		value := body.GetValue()
		inner := fieldSize(anyTypeURL, len(body.GetTypeUrl())) + fieldSize(anyValue, len(value))
		size := fieldSize(resourceVersion, len(r.GetVersion())) + fieldSize(resourceName, len(r.GetName())) + protowire.SizeTag(resourceAny) + protowire.SizeBytes(inner)
		text = appendLength(text, responseResources, size)
		text = appendString(text, resourceVersion, r.GetVersion())
		text = appendString(text, resourceName, r.GetName())
		text = appendLength(text, resourceAny, inner)
		text = appendString(text, anyTypeURL, body.GetTypeUrl())
		if len(value) == 0 {
			continue
		}
		text = appendLength(text, anyValue, len(value))
		out = append(out, mem.SliceBuffer(text[from:len(text):len(text)]), mem.SliceBuffer(value))
		from = len(text)
	}
	if from < len(text) {
		out = append(out, mem.SliceBuffer(text[from:]))
	}
	return out
}

func appendLength(b []byte, field protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(n)) //nolint:gosec // a length
}

// appendString leaves an empty one out, as proto3 does.
func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendLength(b, field, len(s)), s...)
}

func fieldSize(field protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeBytes(n)
}

// sizeString is at least the size of a string field.
func sizeString(s string) int { return 1 + 10 + len(s) }
