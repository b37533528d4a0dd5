package stack

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/health"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// How long children get between SIGTERM and SIGKILL. The external processor
// drains its streams first.
const (
	envoyGrace   = 5 * time.Second
	extprocGrace = 10 * time.Second
	xdsGrace     = 5 * time.Second
	demoGrace    = 4 * time.Second
	// firstConfig bounds the wait for what the control plane hands out.
	firstConfig = 30 * time.Second
)

// Names of children.
const (
	envoyName = "envoy"
	// XDSName is the control plane.
	XDSName = "xds"
)

// XDSOptions is a control plane.
type XDSOptions struct {
	// Config is the folder that it watches.
	Config string
	// Listen for xDS and Admin for HTTP, host:port.
	Listen, Admin string
	// State is the folder in which it keeps what it has rolled out.
	State string
	// Processors are the addresses of the external processors, unix:///path or host:port.
	Processors []string
	// Traces is the OTLP receiver (gRPC, host:port) of a Gateway that names none; empty: no traces.
	Traces string
	// Remap replaces addresses in the configuration, host:port by host:port.
	Remap map[string]string
	// Envoy is the binary that checks each snapshot before it goes out; empty: none does.
	Envoy string
	// Args are added at the end.
	Args []string
}

// XDS is how the xds program at path runs with o.
func XDS(path string, o XDSOptions) supervise.Spec {
	args := []string{"--config", o.Config, "--listen", o.Listen, "--admin", o.Admin, "--state", o.State}
	if len(o.Processors) > 0 {
		args = append(args, "--processors", strings.Join(o.Processors, ","))
	}
	if o.Traces != "" {
		args = append(args, "--traces", o.Traces)
	}
	for _, from := range sortedKeys(o.Remap) {
		args = append(args, "--remap", from+"="+o.Remap[from])
	}
	if o.Envoy != "" {
		args = append(args, "--envoy", o.Envoy)
	}
	return supervise.Spec{
		Name: XDSName, Path: path, Args: append(args, o.Args...), Restart: supervise.RestartAlways,
		Ready: []supervise.Probe{supervise.ReadyProbe("http://" + o.Admin + health.PathReady)}, Grace: xdsGrace,
	}
}

// ExtprocOptions is one external processor.
type ExtprocOptions struct {
	// Name of the child and node id.
	Name string
	// Listen for gRPC, unix:///path or host:port.
	Listen string
	// XDS is the control plane's address and HTTP the processor's own for health
	// and metrics, host:port.
	XDS, HTTP string
	// State is the folder for its last policies.
	State  string
	Region string
	// Args are added at the end.
	Args []string
}

// Extproc is how the extproc program at path runs with o. It is ready once it
// has policies.
func Extproc(path string, o ExtprocOptions) supervise.Spec {
	args := []string{"--listen", o.Listen, "--xds", o.XDS, "--http", o.HTTP, "--state", o.State, "--node-id", o.Name}
	if o.Region != "" {
		args = append(args, "--region", o.Region)
	}
	return supervise.Spec{
		Name: o.Name, Path: path, Args: append(args, o.Args...), Restart: supervise.RestartAlways,
		Ready:       []supervise.Probe{supervise.GRPCHealthProbe(grpcTarget(o.Listen), "")},
		ReadyWithin: firstConfig, Grace: extprocGrace,
	}
}

func grpcTarget(listen string) string {
	if strings.HasPrefix(listen, "unix:") {
		return listen
	}
	return "passthrough:///" + listen
}

// EnvoyOptions is one Envoy.
type EnvoyOptions struct {
	// Name of the child; empty: "envoy".
	Name string
	// Bootstrap is the path of its bootstrap file.
	Bootstrap string
	// Admin is the admin address in that file, host:port.
	Admin string
	// Listener that must take connections before it is ready, host:port; empty:
	// being ready is enough.
	Listener string
	// Concurrency is the number of worker threads; 0: one per core.
	Concurrency int
	// LogLevel of Envoy; empty: warning.
	LogLevel string
	// Args are added at the end.
	Args []string
}

// Envoy is how the Envoy at path runs with o. It is ready once it has its first
// listeners and clusters. Hot restart is off: it would tie the Envoys of one
// machine to each other.
func Envoy(path string, o EnvoyOptions) supervise.Spec {
	if o.Name == "" {
		o.Name = envoyName
	}
	if o.LogLevel == "" {
		o.LogLevel = "warning"
	}
	args := []string{"-c", o.Bootstrap, "--disable-hot-restart", "--log-level", o.LogLevel, "--drain-time-s", "1"}
	if o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(o.Concurrency))
	}
	ready := []supervise.Probe{supervise.HTTPProbe("http://" + o.Admin + "/ready")}
	if o.Listener != "" {
		ready = append(ready, supervise.TCPProbe(dialable(o.Listener)))
	}
	return supervise.Spec{
		Name: o.Name, Path: path, Args: append(args, o.Args...), Restart: supervise.RestartAlways,
		Ready: ready, ReadyWithin: firstConfig, Grace: envoyGrace,
	}
}

// dialable turns an address to listen on into one to connect to: a listener on
// every address of the machine is reached on loopback.
func dialable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if ip.To4() != nil {
			return net.JoinHostPort("127.0.0.1", port)
		}
		return net.JoinHostPort("::1", port)
	}
	return listen
}

// DemoOptions is one demo server.
type DemoOptions struct {
	demo.Place
	// Listen is where it answers, host:port.
	Listen string
	// Journal is the path of its journal.
	Journal string
	// Control is the address of its control endpoint, unix:///path; empty: none.
	Control string
	// Traces is the OTLP receiver (gRPC, host:port) of its spans; empty: none.
	Traces string
}

// DemoServer is how the holdfast program at path runs as a demo server. One that
// dies stays dead, since its death may be the point.
func DemoServer(path string, o DemoOptions) supervise.Spec {
	args := []string{"demo-server", o.Server, "--name", o.Name, "--region", o.Region, "--listen", o.Listen, "--journal", o.Journal}
	if o.Control != "" {
		args = append(args, "--control", o.Control)
	}
	if o.Stateful {
		args = append(args, "--stateful")
	}
	if o.Traces != "" {
		args = append(args, "--traces", o.Traces)
	}
	return supervise.Spec{
		Name: o.Name, Path: path, Args: args, Restart: supervise.RestartNever,
		Ready: []supervise.Probe{supervise.HTTPProbe(fmt.Sprintf("http://%s/health", o.Listen))}, Grace: demoGrace,
	}
}
