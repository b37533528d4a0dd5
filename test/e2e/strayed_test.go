package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// ahead stands before a real processor and gives each request, the first time, a
// stamp that Envoy has no route for, as a processor does that is ahead of the route
// table to which Envoy keeps for the time of a request.
type ahead struct {
	extprocv3.UnimplementedExternalProcessorServer
	healthv1.UnimplementedHealthServer
	next extprocv3.ExternalProcessorClient
	// always: the second time too.
	always atomic.Bool
	// altered counts the stamps that were.
	altered atomic.Int64
}

func (e *ahead) Check(context.Context, *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

func (e *ahead) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(stream.Context(), md))
	defer cancel()
	next, err := e.next.Process(ctx)
	if err != nil {
		return err
	}
	var again atomic.Bool
	go func() {
		defer next.CloseSend() //nolint:errcheck // the other direction tells
		for {
			req, err := stream.Recv()
			if err != nil {
				return
			}
			for _, h := range req.GetRequestHeaders().GetHeaders().GetHeaders() {
				if h.GetKey() == names.HeaderRerun {
					again.Store(true)
				}
			}
			if next.Send(req) != nil {
				return
			}
		}
	}()
	for {
		reply, err := next.Recv()
		if err != nil {
			return err
		}
		if e.always.Load() || !again.Load() {
			e.alter(reply.GetRequestBody().GetResponse())
			e.alter(reply.GetRequestHeaders().GetResponse())
		}
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}

func (e *ahead) alter(r *extprocv3.CommonResponse) {
	for _, h := range r.GetHeaderMutation().GetSetHeaders() {
		if h.GetHeader().GetKey() == names.HeaderRoute && !strings.Contains(string(h.GetHeader().GetRawValue()), ".stream.") {
			h.Header = &corev3.HeaderValue{Key: names.HeaderRoute, RawValue: []byte("of.another.time")}
			e.altered.Add(1)
		}
	}
}

// standBefore puts an ahead before each processor and has Envoy start anew, so that
// it has no connection to the processors themselves.
func standBefore(t *testing.T, s *testbed.Bed, reachable func(*testbed.Bed) error) []*ahead {
	t.Helper()
	var out []*ahead
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		socket := filepath.Join(s.Dir, name+".sock")
		behind := filepath.Join(s.Dir, name+".real.sock")
		if err := os.Rename(socket, behind); err != nil {
			t.Fatal(err)
		}
		conn, err := grpc.NewClient("unix://"+behind, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		e := &ahead{next: extprocv3.NewExternalProcessorClient(conn)}
		server := grpc.NewServer()
		extprocv3.RegisterExternalProcessorServer(server, e)
		healthv1.RegisterHealthServer(server, e)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener) // ends with Stop
		}()
		t.Cleanup(func() {
			server.Stop()
			<-served
			_ = conn.Close()
		})
		out = append(out, e)
	}
	s.Kill(testbed.Envoy)
	s.Restart(testbed.Envoy)
	s.Eventually(testbed.Patience, "a request through the new Envoy reaches a server", func() error { return reachable(s) })
	return out
}

// TestStrayedStamps: a call that is decided for a route that Envoy does not have for it
// is decided once more: it is answered, and runs once, be it safe or not, in a session
// or without.
func TestStrayedStamps(t *testing.T) {
	t.Parallel()
	for name, statefully := range map[string]bool{"stateless": false, "sessions": true} {
		t.Run(name, func(t *testing.T) {
			servers := testbed.OrdersServers()
			for i := range servers {
				servers[i].Stateful = statefully
			}
			options := testbed.Options{Servers: servers}
			reachable := func(b *testbed.Bed) error { return b.Ping("/mcp") }
			if statefully {
				options.Reachable, reachable = legacyPing, legacyPing
			}
			s := testbed.Start(t, options)
			before := standBefore(t, s, reachable)
			altered := func() (sum int64) {
				for _, e := range before {
					sum += e.altered.Load()
				}
				return sum
			}
			session, from := s.Connect("/mcp"), altered()
			if from == 0 {
				t.Fatal("nothing has strayed")
			}
			const calls = 20
			for i := range calls {
				tool, arguments := testbed.GetOrder(i)
				if i%2 == 1 {
					tool, arguments = testbed.CreateOrder(i)
				}
				result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
				if err != nil || result.IsError {
					t.Fatalf("%s: %v %+v", tool, err, result)
				}
			}
			if n := altered() - from; n != calls {
				t.Errorf("%d of %d calls strayed", n, calls)
			}
			var ran []demo.Execution
			for _, place := range servers {
				ran = append(ran, s.Executions(place.Name)...)
			}
			if len(ran) != calls {
				t.Errorf("%d of %d calls were carried out", len(ran), calls)
			}
			// What strays again gets an answer to act on.
			for _, e := range before {
				e.always.Store(true)
			}
			result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "get_order", Arguments: map[string]any{"order_id": "ORD-7701"}})
			if err != nil || !result.IsError {
				t.Errorf("strayed twice: %v %+v", err, result)
			}
		})
	}
}
