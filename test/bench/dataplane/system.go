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
	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/snapshot"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// system is everything that is measured: Holdfasts of different configurations, and Envoys that have
// less or other things around their router.
type system struct {
	dir           string
	programs      programs
	backend, gone *backend
	spans         *receiver
	holdfasts     []*stack.Stack
	others        *supervise.Supervisor
	rows          []row
	// floor is the processor that does nothing.
	floor *supervise.Child
}

// programs are the binaries that are run, and the bootstrap of Holdfast's Envoys.
type programs struct {
	stack.Programs
	bootstrap, self string
	redis           parts.Redis
}

// row is one line of the table.
type row struct {
	name, address string
	// prefix of all paths.
	prefix string
	// admin is the address of Envoy's admin interface.
	admin     string
	envoy     *supervise.Child
	processor *supervise.Child
	// remembers: it has both points of Holdfast, and no traces.
	remembers bool
}

// Names of rows.
const (
	rowPlain    = "plain Envoy"
	rowNative   = "native mcp filter"
	rowFloor1   = "do-nothing processor, edge"
	rowFloor2   = "do-nothing processor, edge + attempt"
	rowEdge     = "Holdfast, edge only, limits in memory, 1 % of traces"
	rowHoldfast = "Holdfast, edge + attempt"
	rowLimited  = "+ limits in memory"
	rowRedis    = "+ limits in Redis"
	rowTraced   = "+ limits in memory, 1 % of traces"
	rowAll      = "+ limits in memory, all traces"
)

// start starts all of it. close ends it, also after an error.
func start(ctx context.Context, p programs) (_ *system, err error) {
	s := &system{programs: p}
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
	if s.spans, err = startReceiver(ctx); err != nil {
		return nil, err
	}
	if s.others, err = supervise.New(supervise.Options{LogDir: filepath.Join(s.dir, "logs"), Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, fmt.Errorf("starting Envoys: %w", err)
	}
	redis, err := s.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	base, err := s.startHoldfast(ctx, "", "")
	if err != nil {
		return nil, err
	}
	shared, err := s.startHoldfast(ctx, "", redis)
	if err != nil {
		return nil, err
	}
	traced, err := s.startHoldfast(ctx, tracesTo(s.spans.address(), "1%"), "")
	if err != nil {
		return nil, err
	}
	all, err := s.startHoldfast(ctx, tracesTo(s.spans.address(), "100%"), "")
	if err != nil {
		return nil, err
	}
	if err := s.startOthers(ctx, base, traced); err != nil {
		return nil, err
	}
	remembers := func(r row) row { r.remembers = true; return r }
	s.rows = append(s.rows, remembers(rowOf(rowHoldfast, "", base)), remembers(rowOf(rowLimited, prefixLimited, base)), rowOf(rowRedis, prefixLimited, shared),
		remembers(rowOf(rowTraced, prefixLimited, traced)), rowOf(rowAll, prefixLimited, all))
	return s, nil
}

// startRedis runs a redis-server that keeps nothing, and returns its address.
func (s *system) startRedis(ctx context.Context) (string, error) {
	var ports supervise.Ports
	defer ports.Close()
	address, _, err := ports.Reserve("127.0.0.1:0")
	if err != nil {
		return "", err //nolint:wrapcheck // says what
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address of Redis: %w", err)
	}
	ports.Release(address)
	var env []string
	if s.programs.redis.Env != nil {
		env = append(os.Environ(), s.programs.redis.Env...)
	}
	err = s.others.Start(ctx, supervise.Spec{
		Name: "redis", Path: s.programs.redis.Path, Env: env, Dir: s.dir, Args: []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no"},
		Ready: []supervise.Probe{supervise.TCPProbe(address)}, Restart: supervise.RestartNever, Grace: 2 * time.Second,
	})
	if err != nil {
		return "", fmt.Errorf("starting Redis: %w", err)
	}
	return address, nil
}

// startHoldfast runs one of its own control plane, processor and Envoy.
func (s *system) startHoldfast(ctx context.Context, traces, redis string) (*stack.Stack, error) {
	dir := filepath.Join(s.dir, strconv.Itoa(len(s.holdfasts)))
	conf := filepath.Join(dir, "config")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	text := configuration(s.backend.address(), s.gone.address(), traces)
	if err := os.WriteFile(filepath.Join(conf, "bench.yaml"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	started, err := stack.Start(ctx, stack.Options{
		Config: conf, State: filepath.Join(dir, "state"), Temp: os.TempDir(), Programs: s.programs.Programs, Bootstrap: s.programs.bootstrap,
		Processors: 1, ProcessorCores: 1, AnyPorts: true, EnvoyConcurrency: 1, Version: "bench", Redis: redis,
	})
	if err != nil {
		return nil, fmt.Errorf("starting Holdfast: %w", err)
	}
	s.holdfasts = append(s.holdfasts, started)
	return started, nil
}

func rowOf(name, prefix string, holdfast *stack.Stack) row {
	envoy, _ := holdfast.Supervisor().Child("envoy")
	return row{
		name: name, prefix: prefix, address: holdfast.Info().Gateway, admin: holdfast.Info().EnvoyAdmin,
		envoy: envoy, processor: processorOf(holdfast),
	}
}

func processorOf(holdfast *stack.Stack) *supervise.Child {
	child, _ := holdfast.Supervisor().Child(stack.ExtprocName(1))
	return child
}

// snapshotOf is what a Holdfast has sent its Envoy, as a static bootstrap.
func snapshotOf(holdfast *stack.Stack) ([]byte, error) {
	cfg, err := config.Load(holdfast.Info().Config)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	m, err := model.Build(cfg, model.Options{Processors: holdfast.Info().Processors})
	if err != nil {
		return nil, fmt.Errorf("resolving the configuration: %w", err)
	}
	resources, err := snapshot.Build(m)
	if err != nil {
		return nil, fmt.Errorf("building the snapshot: %w", err)
	}
	own, err := snapshot.Static(resources)
	if err != nil {
		return nil, fmt.Errorf("rendering the snapshot: %w", err)
	}
	return own, nil
}

func variants() []variant {
	return []variant{
		{name: rowPlain},
		{name: rowNative, mcp: true},
		{name: rowFloor1, edge: true, floor: true},
		{name: rowFloor2, edge: true, attempt: true, floor: true},
		{name: rowEdge, prefix: prefixLimited, edge: true},
	}
}

// startOthers makes the other Envoys out of what base has sent its own; those that have
// a point of Holdfast out of what traced has.
func (s *system) startOthers(ctx context.Context, base, traced *stack.Stack) error {
	socket := filepath.Join(base.Info().RunDir, "floor.sock")
	err := s.others.Start(ctx, supervise.Spec{
		Name: "floor", Path: s.programs.self, Args: []string{"-floor", socket}, Restart: supervise.RestartNever,
		Ready: []supervise.Probe{supervise.GRPCHealthProbe("unix://"+socket, "")}, Grace: 2 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("starting the floor: %w", err)
	}
	s.floor, _ = s.others.Child("floor")
	for i, v := range variants() {
		of := base
		if v.edge && !v.floor {
			of = traced
		}
		if err := s.startVariant(ctx, v, of, socket, "envoy-"+strconv.Itoa(i)); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (s *system) startVariant(ctx context.Context, v variant, of *stack.Stack, socket, name string) error {
	own, err := snapshotOf(of)
	if err != nil {
		return err
	}
	var ports supervise.Ports
	defer ports.Close()
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
	err = s.others.Start(ctx, stack.Envoy(s.programs.Envoy, stack.EnvoyOptions{
		Name: name, Bootstrap: path, Admin: addresses[1], Listener: addresses[0], Concurrency: 1,
	}))
	if err != nil {
		return fmt.Errorf("starting Envoy: %w", err)
	}
	r := row{name: v.name, prefix: v.prefix, address: addresses[0], admin: addresses[1]}
	r.envoy, _ = s.others.Child(name)
	switch {
	case v.floor:
		r.processor = s.floor
	case v.edge:
		r.processor = processorOf(of)
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
	for _, h := range s.holdfasts {
		errs = append(errs, h.Close(ctx))
	}
	if s.spans != nil {
		errs = append(errs, s.spans.close())
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
