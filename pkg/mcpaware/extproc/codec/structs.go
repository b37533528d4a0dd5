package codec

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// readStructEntry reads one entry of a map of text to google.protobuf.Struct.
func readStructEntry(m message, into map[string]*structpb.Struct) error {
	key, value := "", &structpb.Struct{}
	err := m.each(func(f field) error {
		switch {
		case f.id == 1 && f.kind == protowire.BytesType:
			key = f.sub.text
		case f.id == 2 && f.kind == protowire.BytesType:
			return readStruct(f.sub, value)
		default:
			return errUnknown
		}
		return nil
	})
	into[key] = value
	return err
}

func readStruct(m message, into *structpb.Struct) error {
	into.Fields = make(map[string]*structpb.Value, 4)
	return m.each(func(f field) error {
		if f.id != 1 || f.kind != protowire.BytesType {
			return errUnknown
		}
		key, value := "", &textValue{}
		err := f.sub.each(func(f field) error {
			switch {
			case f.id == 1 && f.kind == protowire.BytesType:
				key = f.sub.text
			case f.id == 2 && f.kind == protowire.BytesType:
				return readValue(f.sub, value)
			default:
				return errUnknown
			}
			return nil
		})
		into.Fields[key] = &value.value
		return err
	})
}

// textValue is a value with room for what most of them are.
type textValue struct {
	value structpb.Value
	text  structpb.Value_StringValue
}

// Fields of google.protobuf.Value.
const (
	valueNumber = 2
	valueText   = 3
	valueBool   = 4
)

func readValue(m message, into *textValue) error {
	return m.each(func(f field) error {
		switch {
		case f.id == valueText && f.kind == protowire.BytesType:
			// It is small, and some are kept for longer than the message.
			into.text.StringValue = strings.Clone(f.sub.text)
			into.value.Kind = &into.text
		case f.id == valueNumber && f.kind == protowire.Fixed64Type:
			into.value.Kind = &structpb.Value_NumberValue{NumberValue: math.Float64frombits(f.value)}
		case f.id == valueBool && f.kind == protowire.VarintType:
			into.value.Kind = &structpb.Value_BoolValue{BoolValue: f.value != 0}
		default:
			if err := proto.Unmarshal(m.raw, &into.value); err != nil {
				return err //nolint:wrapcheck // the caller says what it was reading
			}
		}
		return nil
	})
}

// appendStruct writes s. Whatever is neither text nor another struct goes through the
// general codec, whose errors are for text that is not UTF-8: such a value is left out.
func appendStruct(out []byte, s *structpb.Struct) []byte {
	for key, value := range s.GetFields() {
		out = appendNested(out, 1, func(out []byte) []byte {
			out = appendText(out, 1, key)
			return appendNested(out, 2, func(out []byte) []byte { return appendValue(out, value) })
		})
	}
	return out
}

func appendValue(out []byte, v *structpb.Value) []byte {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		return appendText(out, valueText, kind.StringValue)
	case *structpb.Value_StructValue:
		return appendNested(out, 5, func(out []byte) []byte { return appendStruct(out, kind.StructValue) })
	}
	if raw, err := proto.Marshal(v); err == nil {
		out = append(out, raw...)
	}
	return out
}
