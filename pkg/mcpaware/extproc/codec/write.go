package codec

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// largeBody is from where on a body is not copied: below it, one piece costs less than
	// three.
	largeBody = 4 << 10
	// firstBytes is room for most responses.
	firstBytes = 512
)

// marshalResponse writes m, with a large streamed body as a piece of its own.
func marshalResponse(m *extprocv3.ProcessingResponse) (mem.BufferSlice, error) {
	if body := m.GetResponseBody(); body != nil && onlyStreams(m, body.GetResponse()) {
		return streamed(body.GetResponse().GetBodyMutation().GetStreamedResponse()), nil
	}
	if known(m) {
		return mem.BufferSlice{mem.SliceBuffer(appendResponse(make([]byte, 0, firstBytes), m))}, nil
	}
	raw, err := proto.Marshal(m)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what it was writing
	}
	return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
}

// onlyStreams says whether a response is a piece of a streamed body and nothing else.
func onlyStreams(m *extprocv3.ProcessingResponse, c *extprocv3.CommonResponse) bool {
	s := c.GetBodyMutation().GetStreamedResponse()
	return s != nil && m.GetDynamicMetadata() == nil && m.GetModeOverride() == nil && m.GetOverrideMessageTimeout() == nil &&
		c.GetHeaderMutation() == nil && c.GetStatus() == 0 && !c.GetClearRouteCache() && c.GetTrailers() == nil &&
		!s.GetEndOfStreamWithoutMessage() && !s.GetGrpcMessageCompressed()
}

// streamed writes ProcessingResponse.response_body.response.body_mutation.streamed_response.
func streamed(s *extprocv3.StreamedBodyResponse) mem.BufferSlice {
	body := s.GetBody()
	size, tail := 0, []byte(nil)
	if len(body) > 0 {
		size += protowire.SizeTag(1) + protowire.SizeBytes(len(body))
	}
	if s.GetEndOfStream() {
		tail = []byte{2<<3 | byte(protowire.VarintType), 1}
		size += len(tail)
	}
	sizes := [4]int{0, 0, 0, size}
	for i := len(sizes) - 2; i >= 0; i-- {
		sizes[i] = protowire.SizeTag(1) + protowire.SizeBytes(sizes[i+1])
	}
	room := 32 + len(tail)
	if len(body) < largeBody {
		room += len(body)
	}
	out := make([]byte, 0, room)
	for i, id := range []protowire.Number{4, 1, 3, 3} {
		out = protowire.AppendVarint(protowire.AppendTag(out, id, protowire.BytesType), uint64(sizes[i])) //nolint:gosec // lengths
	}
	if len(body) > 0 {
		out = protowire.AppendVarint(protowire.AppendTag(out, 1, protowire.BytesType), uint64(len(body)))
	}
	if len(body) < largeBody {
		return mem.BufferSlice{mem.SliceBuffer(append(append(out, body...), tail...))}
	}
	pieces := mem.BufferSlice{mem.SliceBuffer(out), mem.SliceBuffer(body)}
	if len(tail) > 0 {
		pieces = append(pieces, mem.SliceBuffer(tail))
	}
	return pieces
}

// known says whether appendResponse writes all that m has.
func known(m *extprocv3.ProcessingResponse) bool {
	if m.GetOverrideMessageTimeout() != nil || len(m.GetTypedDynamicMetadata()) > 0 ||
		m.GetRequestDrain() { //nolint:staticcheck // to leave it to the general codec
		return false
	}
	switch r := m.GetResponse().(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		return plain(r.RequestHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		return plain(r.ResponseHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_RequestBody:
		return plain(r.RequestBody.GetResponse())
	}
	return false
}

func plain(c *extprocv3.CommonResponse) bool {
	if c.GetBodyMutation() != nil || c.GetTrailers() != nil || c.GetStatus() != 0 {
		return false
	}
	for _, h := range c.GetHeaderMutation().GetSetHeaders() {
		if h.GetAppend() != nil || h.GetKeepEmptyValue() || h.GetHeader().GetValue() != "" { //nolint:staticcheck // to leave it to the general codec
			return false
		}
	}
	return true
}

func appendResponse(out []byte, m *extprocv3.ProcessingResponse) []byte {
	switch r := m.GetResponse().(type) {
	case *extprocv3.ProcessingResponse_RequestHeaders:
		out = appendCommon(out, 1, r.RequestHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_ResponseHeaders:
		out = appendCommon(out, 2, r.ResponseHeaders.GetResponse())
	case *extprocv3.ProcessingResponse_RequestBody:
		out = appendCommon(out, 3, r.RequestBody.GetResponse())
	}
	if data := m.GetDynamicMetadata(); data != nil {
		out = appendNested(out, 8, func(out []byte) []byte { return appendStruct(out, data) })
	}
	if mode := m.GetModeOverride(); mode != nil {
		out = appendNested(out, 9, func(out []byte) []byte { return appendMode(out, mode) })
	}
	return out
}

// appendNested writes a field that is a message. Nearly all are shorter than 128 bytes, so
// that one byte is enough for the length; the others are moved up.
func appendNested(out []byte, id protowire.Number, fill func([]byte) []byte) []byte {
	out = protowire.AppendTag(out, id, protowire.BytesType)
	at := len(out)
	out = fill(append(out, 0))
	length := len(out) - at - 1
	if length < 1<<7 {
		out[at] = byte(length) //nolint:gosec // below 128
		return out
	}
	extra := protowire.SizeVarint(uint64(length)) - 1
	out = append(out, make([]byte, extra)...)
	copy(out[at+1+extra:], out[at+1:at+1+length])
	protowire.AppendVarint(out[at:at], uint64(length))
	return out
}

func appendCommon(out []byte, id protowire.Number, c *extprocv3.CommonResponse) []byte {
	return appendNested(out, id, func(out []byte) []byte {
		if c == nil {
			return out
		}
		return appendNested(out, 1, func(out []byte) []byte {
			if m := c.GetHeaderMutation(); m != nil {
				out = appendNested(out, 2, func(out []byte) []byte { return appendMutation(out, m) })
			}
			return appendBool(out, 5, c.GetClearRouteCache())
		})
	})
}

func appendMutation(out []byte, m *extprocv3.HeaderMutation) []byte {
	for _, h := range m.GetSetHeaders() {
		out = appendNested(out, 1, func(out []byte) []byte { return appendOption(out, h) })
	}
	for _, name := range m.GetRemoveHeaders() {
		out = appendText(out, 2, name)
	}
	return out
}

func appendOption(out []byte, h *corev3.HeaderValueOption) []byte {
	if value := h.GetHeader(); value != nil {
		out = appendNested(out, 1, func(out []byte) []byte {
			if value.GetKey() != "" {
				out = appendText(out, 1, value.GetKey())
			}
			if len(value.GetRawValue()) > 0 {
				out = protowire.AppendBytes(protowire.AppendTag(out, 3, protowire.BytesType), value.GetRawValue())
			}
			return out
		})
	}
	return appendEnum(out, 3, int32(h.GetAppendAction()))
}

func appendMode(out []byte, m *filterv3.ProcessingMode) []byte {
	for i, v := range []int32{
		int32(m.GetRequestHeaderMode()), int32(m.GetResponseHeaderMode()), int32(m.GetRequestBodyMode()),
		int32(m.GetResponseBodyMode()), int32(m.GetRequestTrailerMode()), int32(m.GetResponseTrailerMode()),
	} {
		out = appendEnum(out, protowire.Number(i+1), v)
	}
	return out
}

func appendText(out []byte, id protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(out, id, protowire.BytesType), s)
}

func appendBool(out []byte, id protowire.Number, v bool) []byte {
	if !v {
		return out
	}
	return append(protowire.AppendTag(out, id, protowire.VarintType), 1)
}

func appendEnum(out []byte, id protowire.Number, v int32) []byte {
	if v == 0 {
		return out
	}
	return protowire.AppendVarint(protowire.AppendTag(out, id, protowire.VarintType), uint64(v)) //nolint:gosec // as protobuf does
}
