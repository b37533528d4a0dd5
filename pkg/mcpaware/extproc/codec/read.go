package codec

import (
	"errors"
	"math"
	"unsafe"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Fields of envoy.service.ext_proc.v3.ProcessingRequest.
const (
	requestHeaders   = 2
	responseHeaders  = 3
	requestBody      = 4
	responseBody     = 5
	requestTrailers  = 6
	responseTrailers = 7
	metadataContext  = 8
	attributes       = 9
	protocolConfig   = 11
)

// errUnknown: the message has a part that only the general codec reads.
var errUnknown = errors.New("a part that is not known")

// message is bytes that nobody changes, and the same as text, so that parts of it can be
// both without a copy each.
type message struct {
	raw  []byte
	text string
}

func (m message) part(from, to int) message {
	return message{raw: m.raw[from:to:to], text: m.text[from:to]}
}

// textOf is raw as text, without a copy: raw must not change any more.
func textOf(raw []byte) string {
	return unsafe.String(unsafe.SliceData(raw), len(raw)) //nolint:gosec // raw is this package's own copy
}

// field is one field of a message: number for varints and fixed64, sub for the rest.
type field struct {
	id    protowire.Number
	kind  protowire.Type
	value uint64
	sub   message
}

// next takes the field at the beginning of m, and gives what follows.
func (m message) next() (f field, rest message, err error) {
	id, kind, n := protowire.ConsumeTag(m.raw)
	if n < 0 {
		return f, m, protowire.ParseError(n)
	}
	f.id, f.kind = id, kind
	size := 0
	switch kind {
	case protowire.VarintType:
		f.value, size = protowire.ConsumeVarint(m.raw[n:])
	case protowire.Fixed64Type:
		f.value, size = protowire.ConsumeFixed64(m.raw[n:])
	case protowire.BytesType:
		var length uint64
		length, size = protowire.ConsumeVarint(m.raw[n:])
		if size >= 0 && length > uint64(len(m.raw)-n-size) { //nolint:gosec // not below 0
			return f, m, protowire.ParseError(-1)
		}
		if size >= 0 {
			end := n + size + int(length) //nolint:gosec // bounded by the message
			f.sub = m.part(n+size, end)
			return f, m.part(end, len(m.raw)), nil
		}
	case protowire.Fixed32Type, protowire.StartGroupType, protowire.EndGroupType:
		return f, m, errUnknown
	default:
		return f, m, errUnknown
	}
	if size < 0 {
		return f, m, protowire.ParseError(size)
	}
	return f, m.part(n+size, len(m.raw)), nil
}

// each calls see for every field of m.
func (m message) each(see func(field) error) error {
	for len(m.raw) > 0 {
		f, rest, err := m.next()
		if err != nil {
			return err
		}
		if err := see(f); err != nil {
			return err
		}
		m = rest
	}
	return nil
}

// unmarshalRequest reads raw into an empty into. raw must not change afterwards.
func unmarshalRequest(raw []byte, into *extprocv3.ProcessingRequest) error {
	err := readRequest(message{raw: raw, text: textOf(raw)}, into)
	if errors.Is(err, errUnknown) {
		proto.Reset(into)
		err = proto.Unmarshal(raw, into)
	}
	return err
}

func readRequest(m message, into *extprocv3.ProcessingRequest) error {
	return m.each(func(f field) (err error) {
		if f.kind != protowire.BytesType {
			return errUnknown
		}
		switch f.id {
		case requestHeaders:
			all := &requestHead{}
			all.wrapped.RequestHeaders = &all.http
			into.Request, err = &all.wrapped, readHeaders(f.sub, &all.head)
		case responseHeaders:
			all := &responseHead{}
			all.wrapped.ResponseHeaders = &all.http
			into.Request, err = &all.wrapped, readHeaders(f.sub, &all.head)
		case requestBody:
			body := &extprocv3.HttpBody{}
			into.Request, err = &extprocv3.ProcessingRequest_RequestBody{RequestBody: body}, readBody(f.sub, body)
		case responseBody:
			body := &extprocv3.HttpBody{}
			into.Request, err = &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: body}, readBody(f.sub, body)
		case responseTrailers:
			trailers := &extprocv3.HttpTrailers{}
			into.Request, err = &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: trailers}, proto.Unmarshal(f.sub.raw, trailers)
		case metadataContext:
			into.MetadataContext = &corev3.Metadata{}
			err = readMetadata(f.sub, into.MetadataContext)
		case attributes:
			if into.Attributes == nil {
				into.Attributes = make(map[string]*structpb.Struct, 1)
			}
			err = readStructEntry(f.sub, into.Attributes)
		case protocolConfig:
			into.ProtocolConfig = &extprocv3.ProtocolConfiguration{}
			err = readProtocol(f.sub, into.ProtocolConfig)
		case requestTrailers:
			err = errUnknown
		default:
			err = errUnknown
		}
		return err
	})
}

// head is what a message of headers consists of, but for the headers.
type head struct {
	http extprocv3.HttpHeaders
	list corev3.HeaderMap
}

type requestHead struct {
	wrapped extprocv3.ProcessingRequest_RequestHeaders
	head
}

type responseHead struct {
	wrapped extprocv3.ProcessingRequest_ResponseHeaders
	head
}

func readHeaders(m message, into *head) error {
	into.http.Headers = &into.list
	return m.each(func(f field) error {
		switch {
		case f.id == 1 && f.kind == protowire.BytesType:
			return readHeaderMap(f.sub, &into.list)
		case f.id == 3 && f.kind == protowire.VarintType:
			into.http.EndOfStream = f.value != 0
			return nil
		}
		return errUnknown
	})
}

func readHeaderMap(m message, into *corev3.HeaderMap) error {
	count := 0
	if err := m.each(func(field) error { count++; return nil }); err != nil {
		return err
	}
	values := make([]corev3.HeaderValue, count)
	into.Headers = make([]*corev3.HeaderValue, 0, count)
	return m.each(func(f field) error {
		if f.id != 1 || f.kind != protowire.BytesType {
			return errUnknown
		}
		h := &values[len(into.GetHeaders())]
		into.Headers = append(into.Headers, h)
		return f.sub.each(func(f field) error {
			if f.kind != protowire.BytesType {
				return errUnknown
			}
			switch f.id {
			case 1:
				h.Key = f.sub.text
			case 2, 3:
				// raw_value is what Envoy sends; empty values are in value.
				h.Value = f.sub.text
			default:
				return errUnknown
			}
			return nil
		})
	})
}

func readBody(m message, into *extprocv3.HttpBody) error {
	return m.each(func(f field) error {
		switch {
		case f.id == 1 && f.kind == protowire.BytesType:
			into.Body = f.sub.raw
		case f.id == 2 && f.kind == protowire.VarintType:
			into.EndOfStream = f.value != 0
		default:
			return errUnknown
		}
		return nil
	})
}

func readProtocol(m message, into *extprocv3.ProtocolConfiguration) error {
	return m.each(func(f field) error {
		if f.kind != protowire.VarintType || f.value > math.MaxInt8 {
			return errUnknown
		}
		switch f.id {
		case 1:
			into.RequestBodyMode = filterv3.ProcessingMode_BodySendMode(f.value) //nolint:gosec // small
		case 2:
			into.ResponseBodyMode = filterv3.ProcessingMode_BodySendMode(f.value) //nolint:gosec // small
		case 3:
			into.SendBodyWithoutWaitingForHeaderResponse = f.value != 0
		default:
			return errUnknown
		}
		return nil
	})
}

func readMetadata(m message, into *corev3.Metadata) error {
	return m.each(func(f field) error {
		if f.id != 1 || f.kind != protowire.BytesType {
			return errUnknown
		}
		if into.FilterMetadata == nil {
			into.FilterMetadata = make(map[string]*structpb.Struct, 1)
		}
		return readStructEntry(f.sub, into.FilterMetadata)
	})
}
