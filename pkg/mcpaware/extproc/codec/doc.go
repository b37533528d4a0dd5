// Package codec reads and writes the messages of envoy.service.ext_proc.v3 on gRPC
// connections in fewer steps than the general codec: a message is copied once, and its
// header names and values, attributes and body are parts of that copy; a large body is
// written from where it is. Every other message, and every part of these
// that it does not know, goes through the general one.
//
// What is read is for reading: values of headers are in HeaderValue.Value, whichever
// field Envoy put them into, and nothing may be changed in place.
package codec

import (
	"fmt"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Codec implements encoding.CodecV2 for a server of ExternalProcessor. It is safe for
// concurrent use. Use it with grpc.ForceServerCodecV2.
type Codec struct{ general encoding.CodecV2 }

var _ encoding.CodecV2 = Codec{}

// New makes a Codec.
func New() Codec { return Codec{general: encoding.GetCodecV2(grpcproto.Name)} }

// Name is that of the general codec: on the wire there is no difference.
func (Codec) Name() string { return grpcproto.Name }

// Marshal writes v. Bodies of responses are not copied where they are large: they must
// not change afterwards.
func (c Codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*extprocv3.ProcessingResponse); ok {
		out, err := marshalResponse(m)
		if err != nil {
			return nil, fmt.Errorf("writing a response of the processor: %w", err)
		}
		return out, nil
	}
	return c.general.Marshal(v) //nolint:wrapcheck // gRPC's own
}

// Unmarshal reads v, which is empty.
func (c Codec) Unmarshal(data mem.BufferSlice, v any) error {
	if m, ok := v.(*extprocv3.ProcessingRequest); ok {
		// Pooled buffers go back to gRPC; this copy is what the message consists of.
		if err := unmarshalRequest(data.Materialize(), m); err != nil {
			return fmt.Errorf("reading a request to the processor: %w", err)
		}
		return nil
	}
	return c.general.Unmarshal(data, v) //nolint:wrapcheck // gRPC's own
}
