package supervise

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-mcp/holdfast/pkg/health"
)

// Probe asks whether a child is ready.
type Probe struct {
	// Name says what is asked, such as "GET http://127.0.0.1:18001/ready".
	Name string
	// Check returns nil when it is so. It is called again until then.
	Check func(context.Context) error
}

// maxProbeBody bounds how much of an unhappy answer an error repeats.
const maxProbeBody = 512

// HTTPProbe passes when a GET of url answers with status 200.
func HTTPProbe(url string) Probe {
	return httpProbe(url, func(code int) bool { return code == http.StatusOK })
}

// ReadyProbe passes when a GET of url, a page of one of Holdfast's programs, says that it is healthy or degraded.
func ReadyProbe(url string) Probe { return httpProbe(url, health.Usable) }

func httpProbe(url string, good func(code int) bool) Probe {
	return Probe{Name: "GET " + url, Check: func(ctx context.Context) error {
		transport := &http.Transport{DisableKeepAlives: true}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		defer resp.Body.Close() //nolint:errcheck // only read
		if !good(resp.StatusCode) {
			body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProbeBody)) // what can be read is good enough
			return fmt.Errorf("status %d: %q", resp.StatusCode, body)
		}
		return nil
	}}
}

// TCPProbe passes when address, host:port, takes a connection.
func TCPProbe(address string) Probe { return dialProbe("tcp", address) }

// UnixProbe passes when the unix socket at path takes a connection.
func UnixProbe(path string) Probe { return dialProbe("unix", path) }

func dialProbe(network, address string) Probe {
	return Probe{Name: "connect to " + network + " " + address, Check: func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		return conn.Close()
	}}
}

// GRPCHealthProbe passes when the server at target (unix:///path or host:port)
// says that service is SERVING (gRPC health checking protocol); the empty
// service stands for the whole server.
func GRPCHealthProbe(target, service string) Probe {
	return Probe{Name: "gRPC health of " + target, Check: func(ctx context.Context) error {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		defer conn.Close() //nolint:errcheck // nothing is under way
		resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			return fmt.Errorf("it says %s", resp.GetStatus())
		}
		return nil
	}}
}
