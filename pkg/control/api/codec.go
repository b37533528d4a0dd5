package api

import (
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDecodingErrorBytes bounds what is said about a message that cannot be read: the parsers
// repeat the value that they dislike, whatever its length.
const maxDecodingErrorBytes = 300

var (
	errEmptyJSON = errors.New("an empty body is not a JSON object; send {} for a request without fields")
	errUnknown   = errors.New("the message has fields that this control plane does not know, so it cannot do all that is asked; is it older than its client?")
)

// codec reads and writes messages. Unlike connect's own it refuses fields that it does
// not know: a misspelt dry_run, or a guard that only a newer control plane has, must not
// turn into a change without it.
type codec struct {
	name string
	json bool
}

// codecs replace all that connect has by itself, under the same names.
func codecs() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(codec{name: "proto"}),
		connect.WithCodec(codec{name: "json", json: true}),
		connect.WithCodec(codec{name: "json; charset=utf-8", json: true}),
	}
}

// Name implements connect.Codec.
func (c codec) Name() string { return c.name }

// Marshal implements connect.Codec. JSON has fields with their zero value too, so that
// scripts find them.
func (c codec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	if c.json {
		return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	}
	return proto.Marshal(m)
}

// Unmarshal implements connect.Codec.
func (c codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	var err error
	switch {
	case c.json && len(data) == 0:
		err = errEmptyJSON
	case c.json:
		err = protojson.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(data, m)
	default:
		err = proto.UnmarshalOptions{RecursionLimit: maxDepth}.Unmarshal(data, m)
		if err == nil && unknownFields(m.ProtoReflect()) {
			err = errUnknown
		}
	}
	if err != nil {
		return errors.New(decodingError(err))
	}
	return nil
}

func decodingError(err error) string {
	// The parsers write one of two kinds of space after their name, at random.
	text := strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0")
	return bounded(text, maxDecodingErrorBytes)
}

// unknownFields looks through a message and those within. Requests are flat but for
// references, and their size is bounded.
func unknownFields(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range value.List().Len() {
				found = found || unknownFields(value.List().Get(i).Message())
			}
		default:
			found = unknownFields(value.Message())
		}
		return !found
	})
	return found
}
