package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// absent answers each stream by ending it with OK: Envoy then goes on as if there
// had been no processor, failure_mode_allow or not.
type absent struct {
	extprocv3.UnimplementedExternalProcessorServer
	streams chan struct{}
}

func (a *absent) Process(extprocv3.ExternalProcessor_ProcessServer) error {
	select {
	case a.streams <- struct{}{}:
	default:
	}
	return nil
}

// TestMisbehavingProcessor: a processor that is healthy and says nothing lets no
// request through to a server.
func TestMisbehavingProcessor(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	p.set(nil, nil)
	p.Kill(testbed.Extproc1)
	p.Kill(testbed.Extproc2)
	fake := &absent{streams: make(chan struct{}, 1)}
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		socket := filepath.Join(p.Dir, name+".sock")
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		extprocv3.RegisterExternalProcessorServer(server, fake)
		healthv1.RegisterHealthServer(server, health.NewServer())
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener) // ends with Stop
		}()
		t.Cleanup(func() {
			server.Stop()
			<-served
		})
	}
	asked := false
	p.Until(testbed.Patience, "Envoy asks the misbehaving processor", func() bool {
		got := p.call(t, "get_order")
		if got.Status != 503 {
			t.Fatalf("status %d: %s", got.Status, got.Body)
		}
		select {
		case <-fake.streams:
			asked = true
		default:
		}
		return asked
	})
	if n := len(p.mumbai.requests()) + len(p.delhi.requests()); n != 0 {
		t.Errorf("%d requests reached a server", n)
	}
}
