package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// receiver takes spans by OTLP over gRPC and forgets them.
type receiver struct {
	server   *grpc.Server
	listener net.Listener
	served   chan error
}

func startReceiver(ctx context.Context) (*receiver, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for spans: %w", err)
	}
	r := &receiver{listener: listener, served: make(chan error, 1)}
	r.server = grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		// An ExportTraceServiceResponse without members means that all was taken.
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
			return err //nolint:wrapcheck // gRPC's own
		}
		return stream.SendMsg(&emptypb.Empty{}) //nolint:wrapcheck // gRPC's own
	}))
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

func (r *receiver) address() string { return r.listener.Addr().String() }

func (r *receiver) close() error {
	r.server.Stop()
	if err := <-r.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("taking spans: %w", err)
	}
	return nil
}
