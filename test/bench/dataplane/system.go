package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// configuration routes /mcp to the backend, and /gone to one that is switched off
// once its list is known.
const configuration = `apiVersion: holdfast/v1alpha1
kind: Gateway
metadata: {name: bench}
spec: {address: "127.0.0.1:10000"}
---
apiVersion: holdfast/v1alpha1
kind: MCPServer
metadata: {name: bench}
spec:
  regions: [{name: here, endpoints: [{name: bench, address: %s}]}]
  healthCheck: {interval: 1s}
  verifiesHeaders: true
---
apiVersion: holdfast/v1alpha1
kind: MCPServer
metadata: {name: gone}
spec:
  regions: [{name: here, endpoints: [{name: gone, address: %s}]}]
  healthCheck: {interval: 100ms}
---
apiVersion: holdfast/v1alpha1
kind: MCPRoute
metadata: {name: bench}
spec:
  path: /mcp
  servers: [{name: bench}]
  tools: [{match: {name: "get_*"}, safe: true}, {match: {name: "echo"}, safe: true}]
---
apiVersion: holdfast/v1alpha1
kind: MCPRoute
metadata: {name: gone}
spec:
  path: /gone
  servers: [{name: gone}]
`

// system is everything that is measured: Holdfast itself, and Envoys that have
// less or other things around their router.
type system struct {
	dir           string
	backend, gone *backend
	holdfast      *stack.Stack
	others        *supervise.Supervisor
	rows          []row
	// floorPID is the process of the processor that does nothing.
	floor *supervise.Child
}

// row is one line of the table.
type row struct {
	name, address string
	envoy         *supervise.Child
	processor     *supervise.Child
}

// start starts all of it. close ends it, also after an error.
func start(ctx context.Context, programs stack.Programs, bootstrap, self string) (_ *system, err error) {
	s := &system{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "hfbench"); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	if s.backend, err = startBackend(ctx); err != nil {
		return nil, err
	}
	if s.gone, err = startBackend(ctx); err != nil {
		return nil, err
	}
	conf := filepath.Join(s.dir, "config")
	if err := os.Mkdir(conf, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	text := fmt.Sprintf(configuration, s.backend.address(), s.gone.address())
	if err := os.WriteFile(filepath.Join(conf, "bench.yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	s.holdfast, err = stack.Start(ctx, stack.Options{
		Config: conf, State: filepath.Join(s.dir, "state"), Temp: os.TempDir(), Programs: programs, Bootstrap: bootstrap,
		Processors: 1, ProcessorCores: 1, AnyPorts: true, EnvoyConcurrency: 1, Version: "bench",
	})
	if err != nil {
		return nil, fmt.Errorf("starting Holdfast: %w", err)
	}
	if s.others, err = supervise.New(supervise.Options{LogDir: filepath.Join(s.dir, "logs"), Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, fmt.Errorf("starting Envoys: %w", err)
	}
	if err := s.startOthers(ctx, conf, programs.Envoy, self); err != nil {
		return nil, err
	}
	envoy, _ := s.holdfast.Supervisor().Child("envoy")
	s.rows = append(s.rows, row{name: rowHoldfast, address: s.holdfast.Info().Gateway, envoy: envoy, processor: s.processor()})
	return s, nil
}

func (s *system) processor() *supervise.Child {
	child, _ := s.holdfast.Supervisor().Child(stack.ExtprocName(1))
	return child
}

// Names of rows that others are compared with.
const (
	rowPlain    = "plain Envoy"
	rowNative   = "native mcp filter"
	rowFloor1   = "do-nothing processor, edge"
	rowFloor2   = "do-nothing processor, edge + attempt"
	rowEdge     = "Holdfast, edge only"
	rowHoldfast = "Holdfast, edge + attempt"
)

func variants() []variant {
	return []variant{
		{name: rowPlain},
		{name: rowNative, mcp: true},
		{name: rowFloor1, edge: true, floor: true},
		{name: rowFloor2, edge: true, attempt: true, floor: true},
		{name: rowEdge, edge: true},
	}
}

func (s *system) startOthers(ctx context.Context, conf, envoy, self string) error {
	cfg, err := config.Load(conf)
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	m, err := model.Build(cfg, model.Options{Processors: s.holdfast.Info().Processors})
	if err != nil {
		return fmt.Errorf("resolving the configuration: %w", err)
	}
	resources, err := snapshot.Build(m)
	if err != nil {
		return fmt.Errorf("building the snapshot: %w", err)
	}
	own, err := snapshot.Static(resources)
	if err != nil {
		return fmt.Errorf("rendering the snapshot: %w", err)
	}
	socket := filepath.Join(s.holdfast.Info().RunDir, "floor.sock")
	err = s.others.Start(ctx, supervise.Spec{
		Name: "floor", Path: self, Args: []string{"-floor", socket}, Restart: supervise.RestartNever,
		Ready: []supervise.Probe{supervise.GRPCHealthProbe("unix://"+socket, "")}, Grace: 2 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("starting the floor: %w", err)
	}
	s.floor, _ = s.others.Child("floor")
	for i, v := range variants() {
		if err := s.startVariant(ctx, v, own, socket, envoy, "envoy-"+strconv.Itoa(i)); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (s *system) startVariant(ctx context.Context, v variant, own []byte, socket, envoy, name string) error {
	var ports supervise.Ports
	defer ports.ReleaseAll()
	var addresses [2]string
	for i := range addresses {
		reserved, _, err := ports.Reserve("127.0.0.1:0")
		if err != nil {
			return err //nolint:wrapcheck // says what
		}
		addresses[i] = reserved
	}
	text, err := v.bootstrap(own, addresses[0], addresses[1], socket)
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, name+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("writing the bootstrap: %w", err)
	}
	ports.Release(addresses[:]...)
	err = s.others.Start(ctx, stack.Envoy(envoy, stack.EnvoyOptions{
		Name: name, Bootstrap: path, Admin: addresses[1], Listener: addresses[0], Concurrency: 1,
	}))
	if err != nil {
		return fmt.Errorf("starting Envoy: %w", err)
	}
	r := row{name: v.name, address: addresses[0]}
	r.envoy, _ = s.others.Child(name)
	switch {
	case v.floor:
		r.processor = s.floor
	case v.edge:
		r.processor = s.processor()
	}
	s.rows = append(s.rows, r)
	return nil
}

const closeTimeout = 30 * time.Second

func (s *system) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var errs []error
	if s.others != nil {
		errs = append(errs, s.others.Close(ctx))
	}
	if s.holdfast != nil {
		errs = append(errs, s.holdfast.Close(ctx))
	}
	for _, b := range []*backend{s.backend, s.gone} {
		if b != nil {
			// The one that is gone has been closed before.
			_ = b.close()
		}
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

func address(hostPort string) (*corev3.Address, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", hostPort, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", hostPort, err)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(n)},
	}}}, nil
}
