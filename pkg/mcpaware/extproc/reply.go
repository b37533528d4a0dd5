package extproc

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

// setHeader overwrites a header. Envoy takes raw_value only.
func setHeader(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

func setHeaders(values []degrade.HeaderValue) []*corev3.HeaderValueOption {
	out := make([]*corev3.HeaderValueOption, 0, len(values)+1)
	for _, v := range values {
		out = append(out, setHeader(v.Name, v.Value))
	}
	return out
}

func requestHeadersReply(r *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{
		RequestHeaders: &extprocv3.HeadersResponse{Response: r},
	}}
}

func requestBodyReply(r *extprocv3.CommonResponse) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{
		RequestBody: &extprocv3.BodyResponse{Response: r},
	}}
}

func responseHeadersReply(m *extprocv3.HeaderMutation) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{
		ResponseHeaders: &extprocv3.HeadersResponse{Response: &extprocv3.CommonResponse{HeaderMutation: m}},
	}}
}

// responseChunk sends body on its way in FULL_DUPLEX_STREAMED mode.
func responseChunk(body []byte, last bool) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{
		ResponseBody: &extprocv3.BodyResponse{Response: &extprocv3.CommonResponse{
			BodyMutation: &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{
				StreamedResponse: &extprocv3.StreamedBodyResponse{Body: body, EndOfStream: last},
			}},
		}},
	}}
}

func responseTrailersReply() *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{
		ResponseTrailers: &extprocv3.TrailersResponse{},
	}}
}

// immediate sends an answer in place of everything else. Envoy's
// response.code_details stay empty, by which local reply rules tell our answers
// from Envoy's own.
func immediate(a *degrade.Answer) *extprocv3.ProcessingResponse {
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &extprocv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(a.Status)}, //nolint:gosec // three digits
			Headers: &extprocv3.HeaderMutation{SetHeaders: setHeaders(a.Headers)},
			Body:    a.Body,
		},
	}}
}

// edgeMode asks for the response headers of a request that the edge point has
// accepted, and for its body where one is needed.
func edgeMode(body bool) *filterv3.ProcessingMode {
	mode := &filterv3.ProcessingMode{ResponseHeaderMode: filterv3.ProcessingMode_SEND}
	if body {
		mode.RequestBodyMode = filterv3.ProcessingMode_BUFFERED
	}
	return mode
}
