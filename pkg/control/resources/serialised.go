package resources

import (
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"
)

// serialised is a resource whose serialisation is known: go-control-plane marshals a resource
// anew for every response, and this one gives the same bytes to all of them.
type serialised struct {
	types.Resource
	body []byte
}

// serialised gives the message in this form where its serialisation is known.
func (v Versioned) serialised() types.Resource {
	if v.Body == nil || v.Message == nil {
		return v.Message
	}
	return &serialised{v.Message, v.Body}
}

// ProtoReflect is the message's own but for how it is marshalled.
func (s *serialised) ProtoReflect() protoreflect.Message {
	return marshalled{s.Resource.ProtoReflect(), s.body}
}

type marshalled struct {
	protoreflect.Message
	body []byte
}

// ProtoMethods has nothing but marshalling (google.golang.org/protobuf/runtime/protoiface). The
// bytes are shared with whoever marshals into nothing, so it must not change them.
func (m marshalled) ProtoMethods() *protoiface.Methods {
	return &protoiface.Methods{
		Flags: protoiface.SupportMarshalDeterministic,
		Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
			if len(in.Buf) == 0 {
				return protoiface.MarshalOutput{Buf: m.body[:len(m.body):len(m.body)]}, nil
			}
			return protoiface.MarshalOutput{Buf: append(in.Buf, m.body...)}, nil
		},
		// What has a serialisation has all that is required.
		CheckInitialized: func(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
			return protoiface.CheckInitializedOutput{}, nil
		},
	}
}
