package demo

import (
	"context"
	"errors"
	"reflect"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// headerTraceparent is the same in HTTP headers and in _meta.
const headerTraceparent = "traceparent"

// traced makes a span of every message whose sender traces it, as OpenTelemetry's conventions for MCP
// ask servers to: the trace context in _meta is the parent, that of the HTTP request a link
// where it is another one, and the parent where there is no other.
func (s *Server) traced(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, name string, req mcp.Request) (mcp.Result, error) {
		parent, links := parents(req)
		if !parent.IsSampled() {
			return next(ctx, name, req)
		}
		operation := span.Operation{Method: name}
		if call, ok := req.GetParams().(*mcp.CallToolParamsRaw); ok {
			operation.Target = call.Name
		}
		one := s.cfg.Traces.Start(oteltrace.ContextWithRemoteSpanContext(ctx, parent), operation.Name(),
			oteltrace.WithSpanKind(oteltrace.SpanKindServer), oteltrace.WithLinks(links...))
		defer one.End()
		attrs := operation.Attributes(nil)
		attrs = append(attrs, span.Region.String(s.cfg.Region), span.Endpoint.String(s.cfg.Name))
		result, err := next(ctx, name, req)
		finish(one, attrs, failureOf(result, err))
		return result, err
	}
}

func finish(one oteltrace.Span, attrs []attribute.KeyValue, failure span.Failure) {
	one.SetAttributes(failure.Attributes(attrs)...)
	if failure != "" {
		one.SetStatus(codes.Error, "")
	}
}

func parents(req mcp.Request) (oteltrace.SpanContext, []oteltrace.Link) {
	var inHTTP, inMeta oteltrace.SpanContext
	if extra := req.GetExtra(); extra != nil {
		inHTTP, _ = trace.ParseParent(extra.Header.Get(headerTraceparent))
	}
	// A message without params has a nil pointer to some here.
	if params := req.GetParams(); params != nil && !reflect.ValueOf(params).IsNil() {
		if text, ok := params.GetMeta()[headerTraceparent].(string); ok {
			inMeta, _ = trace.ParseParent(text)
		}
	}
	switch {
	case !inMeta.IsValid():
		return inHTTP, nil
	case inHTTP.IsValid() && !inHTTP.Equal(inMeta):
		return inMeta, []oteltrace.Link{{SpanContext: inHTTP}}
	}
	return inMeta, nil
}

func failureOf(result mcp.Result, err error) span.Failure {
	var rpc *jsonrpc.Error
	switch {
	case errors.As(err, &rpc):
		return span.FailureOf(&wire.Answer{HasError: true, ErrorCode: rpc.Code})
	case err != nil:
		return span.FailureOf(&wire.Answer{HasError: true, ErrorCode: jsonrpc.CodeInternalError})
	}
	if tool, ok := result.(*mcp.CallToolResult); ok && tool != nil && tool.IsError {
		return span.ToolError
	}
	return ""
}
