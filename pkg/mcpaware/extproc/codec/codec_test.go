package codec_test

import (
	"bytes"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/extproc/codec"
)

func headerMap(values ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(values); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: values[i], RawValue: []byte(values[i+1])})
	}
	return m
}

func structOf(t testing.TB, fields map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// requests are all that Envoy sends, and some that only the general codec knows.
func requests(t testing.TB) map[string]*extprocv3.ProcessingRequest {
	call := map[string]*structpb.Struct{"holdfast": structOf(t, map[string]any{"call": strings.Repeat("Zm9v", 100)})}
	return map[string]*extprocv3.ProcessingRequest{
		"request headers": {
			Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{
				Headers: headerMap(":method", "POST", ":path", "/mcp", "x-empty", "", "x-long", strings.Repeat("v", 500)),
			}},
			MetadataContext: &corev3.Metadata{FilterMetadata: call},
			Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": structOf(t, map[string]any{
				"upstream.address": "127.0.0.1:7101", "upstream.request_attempt_count": 2, "yes": true, "none": nil,
				"deep": map[string]any{"list": []any{1.5, "x"}},
			})},
			ProtocolConfig: &extprocv3.ProtocolConfiguration{
				RequestBodyMode: filterv3.ProcessingMode_BUFFERED, ResponseBodyMode: filterv3.ProcessingMode_FULL_DUPLEX_STREAMED,
				SendBodyWithoutWaitingForHeaderResponse: true,
			},
		},
		"response headers": {Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
			Headers: headerMap(":status", "200"), EndOfStream: true,
		}}},
		"no headers":        {Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{}}},
		"request body":      {Request: &extprocv3.ProcessingRequest_RequestBody{RequestBody: &extprocv3.HttpBody{Body: bytes.Repeat([]byte("b"), 70000), EndOfStream: true}}},
		"response body":     {Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{Body: []byte{0xff, 0}}}},
		"end of body":       {Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{EndOfStream: true}}},
		"response trailers": {Request: &extprocv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &extprocv3.HttpTrailers{Trailers: headerMap("x-t", "1")}}},
		"request trailers":  {Request: &extprocv3.ProcessingRequest_RequestTrailers{RequestTrailers: &extprocv3.HttpTrailers{Trailers: headerMap("x-t", "1")}}},
		"odd parts": {
			ObservabilityMode: true,
			Request: &extprocv3.ProcessingRequest_ResponseBody{ResponseBody: &extprocv3.HttpBody{
				Body: []byte("x"), GrpcMessageCompressed: true,
			}},
		},
		"nothing": {},
	}
}

// settled has every header value where the codec puts it.
func settled(m *extprocv3.ProcessingRequest) *extprocv3.ProcessingRequest {
	m, _ = proto.Clone(m).(*extprocv3.ProcessingRequest)
	for _, list := range []*corev3.HeaderMap{
		m.GetRequestHeaders().GetHeaders(), m.GetResponseHeaders().GetHeaders(),
		m.GetRequestTrailers().GetTrailers(), m.GetResponseTrailers().GetTrailers(),
	} {
		for _, h := range list.GetHeaders() {
			if len(h.GetRawValue()) > 0 {
				h.Value, h.RawValue = string(h.GetRawValue()), nil
			}
		}
	}
	return m
}

// TestReadsAsTheGeneralCodec: what is read is the same, whatever it is, and in pieces.
func TestReadsAsTheGeneralCodec(t *testing.T) {
	for name, want := range requests(t) {
		t.Run(name, func(t *testing.T) {
			raw, err := proto.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			half := len(raw) / 2
			data := mem.BufferSlice{mem.SliceBuffer(bytes.Clone(raw[:half])), mem.SliceBuffer(bytes.Clone(raw[half:]))}
			got := &extprocv3.ProcessingRequest{}
			if err := codec.New().Unmarshal(data, got); err != nil {
				t.Fatal(err)
			}
			for _, piece := range data {
				clear(piece.ReadOnlyData())
			}
			if diff := cmp.Diff(settled(want), settled(got), protocmp.Transform(), protocmp.IgnoreEmptyMessages()); diff != "" {
				t.Errorf("want → got:\n%s", diff)
			}
		})
	}
}

func set(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, RawValue: []byte(value)}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func piece(body string, last bool) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{
		Response: &extprocv3.CommonResponse{BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{
			StreamedResponse: &extprocv3.StreamedBodyResponse{Body: []byte(body), EndOfStream: last},
		}}},
	}}}
}

// responses are all kinds that the processor sends, and some that only the general codec writes.
func responses(t testing.TB) map[string]*extprocv3.ProcessingResponse {
	common := &extprocv3.CommonResponse{
		ClearRouteCache: true,
		HeaderMutation: &extprocv3.HeaderMutation{
			SetHeaders: []*corev3.HeaderValueOption{set("x-a", "1"), set("x-long", strings.Repeat("v", 300)), set("x-empty", "")}, RemoveHeaders: []string{"x-b", "x-c"},
		},
	}
	long := piece(strings.Repeat("y", 20000), false)
	long.DynamicMetadata = structOf(t, map[string]any{"a": "b"})
	return map[string]*extprocv3.ProcessingResponse{
		"request headers": {
			Response:     &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: common}},
			ModeOverride: &filterv3.ProcessingMode{ResponseHeaderMode: filterv3.ProcessingMode_SEND, RequestBodyMode: filterv3.ProcessingMode_BUFFERED, ResponseTrailerMode: filterv3.ProcessingMode_SEND},
		},
		"empty": {Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}},
		"request body": {
			Response:        &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: common}},
			DynamicMetadata: structOf(t, map[string]any{"holdfast": map[string]any{"call": strings.Repeat("Zm9v", 5000)}, "envoy.lb": map[string]any{"n": 1.5, "l": []any{"x"}}}),
		},
		"response headers": {Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{Response: common}}},
		"piece":            piece("x", false), "last piece": piece("x", true), "end": piece("", true), "nothing streamed": piece("", false),
		"large piece": piece(strings.Repeat("y", 20000), false), "large last piece": piece(strings.Repeat("y", 20000), true),
		"piece with metadata": long,
		"trailers":            {Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}},
		"longer wait":         {OverrideMessageTimeout: durationpb.New(12345)},
		"immediate": {Response: &extprocv3.ProcessingResponse_ImmediateResponse{ImmediateResponse: &extprocv3.ImmediateResponse{
			Status: &typev3.HttpStatus{Code: 503}, Body: []byte("body"), Details: "d",
		}}},
		"odd parts": {
			RequestDrain: true,
			Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{
				Response: &extprocv3.CommonResponse{Status: extprocv3.CommonResponse_CONTINUE_AND_REPLACE, Trailers: headerMap("a", "b")},
			}},
		},
	}
}

// TestWritesAsTheGeneralCodec: what is written is read by the general codec as what it was.
func TestWritesAsTheGeneralCodec(t *testing.T) {
	for name, want := range responses(t) {
		t.Run(name, func(t *testing.T) {
			data, err := codec.New().Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			got := &extprocv3.ProcessingResponse{}
			if err := proto.Unmarshal(data.Materialize(), got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreEmptyMessages()); diff != "" {
				t.Errorf("want → got:\n%s", diff)
			}
		})
	}
}

// TestLeavesOtherMessagesAlone: the server's other services use the same codec.
func TestLeavesOtherMessagesAlone(t *testing.T) {
	want := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	data, err := codec.New().Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &grpc_health_v1.HealthCheckResponse{}
	if err := codec.New().Unmarshal(data, got); err != nil || !proto.Equal(want, got) {
		t.Errorf("%v, %v", got, err)
	}
}

// FuzzRead: no bytes break it, and every message that there can be is read as the general
// codec reads it.
func FuzzRead(f *testing.F) {
	for _, m := range requests(f) {
		if raw, err := proto.Marshal(m); err == nil {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = codec.New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, &extprocv3.ProcessingRequest{})
		want := &extprocv3.ProcessingRequest{}
		if proto.Unmarshal(raw, want) != nil {
			return
		}
		// What is there twice is merged by the general codec; written anew it is there once.
		raw, err := proto.Marshal(want)
		if err != nil {
			return
		}
		got := &extprocv3.ProcessingRequest{}
		if err := codec.New().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(settled(want), settled(got), protocmp.Transform(), protocmp.IgnoreEmptyMessages(), cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("want → got:\n%s", diff)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"request headers", "request body"} {
		b.Run(name, func(b *testing.B) {
			raw, err := proto.Marshal(requests(b)[name])
			if err != nil {
				b.Fatal(err)
			}
			c, data := codec.New(), mem.BufferSlice{mem.SliceBuffer(raw)}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Unmarshal(data, &extprocv3.ProcessingRequest{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, name := range []string{"request body", "response headers", "piece", "large piece"} {
		b.Run(name, func(b *testing.B) {
			c, m := codec.New(), responses(b)[name]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Marshal(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
