package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// floor is an external processor that does nothing but answer: what any one in Go
// on grpc-go with its defaults costs at least.
type floor struct {
	extprocv3.UnimplementedExternalProcessorServer
}

// serveFloor serves on a unix socket until ctx ends.
func serveFloor(ctx context.Context, path string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("listening as the floor: %w", err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(8 << 20))
	extprocv3.RegisterExternalProcessorServer(server, floor{})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving as the floor: %w", err)
	}
	return nil
}

// Process answers each message of the point's processing modes with nothing to do.
func (floor) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	edge := len(md.Get(names.PointKey)) == 1 && md.Get(names.PointKey)[0] == names.PointEdge
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) || stream.Context().Err() != nil {
			return nil //nolint:nilerr // Envoy ends streams when requests are over
		}
		if err != nil {
			return err //nolint:wrapcheck // gRPC's own
		}
		if err := stream.Send(nothingFor(req, edge)); err != nil {
			return err //nolint:wrapcheck // gRPC's own
		}
	}
}

func nothingFor(req *extprocv3.ProcessingRequest, edge bool) *extprocv3.ProcessingResponse {
	common := &extprocv3.CommonResponse{}
	switch m := req.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		out := &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{Response: common}}}
		if edge {
			out.ModeOverride = &filterv3.ProcessingMode{ResponseHeaderMode: filterv3.ProcessingMode_SEND, RequestBodyMode: filterv3.ProcessingMode_BUFFERED}
		}
		return out
	case *extprocv3.ProcessingRequest_RequestBody:
		// The route of a gateway depends on the body, so that even the floor asks for
		// it to be looked for again, as Envoy only does with a mutation beside it.
		common.ClearRouteCache = true
		common.HeaderMutation = &extprocv3.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{{
			Header: &corev3.HeaderValue{Key: "x-floor", RawValue: []byte("1")},
		}}}
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_RequestBody{RequestBody: &extprocv3.BodyResponse{Response: common}}}
	case *extprocv3.ProcessingRequest_ResponseBody:
		common.BodyMutation = &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_StreamedResponse{
			StreamedResponse: &extprocv3.StreamedBodyResponse{Body: m.ResponseBody.GetBody(), EndOfStream: m.ResponseBody.GetEndOfStream()},
		}}
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{Response: common}}}
	case *extprocv3.ProcessingRequest_ResponseTrailers:
		return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extprocv3.TrailersResponse{}}}
	}
	return &extprocv3.ProcessingResponse{Response: &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{Response: common}}}
}
