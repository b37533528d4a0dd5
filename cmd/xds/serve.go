package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-mcp/holdfast/pkg/control"
	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry"
)

// listeners are the addresses of the control plane.
type listeners struct {
	xds, admin net.Listener
	// api is nil where the admin API has no address of its own.
	api *api.Listener
}

// serve runs the control plane until ctx ends. Addresses are taken first: who cannot
// have them has no business in the state directory.
func (f *flags) serve(ctx context.Context) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	defer func() {
		for _, conn := range opts.Peers {
			if c, ok := conn.(io.Closer); ok {
				_ = c.Close()
			}
		}
	}()
	l, err := f.open(ctx, opts.Logger)
	if err != nil {
		return errors.Join(err, l.close())
	}
	plane, err := control.New(opts)
	if err != nil {
		return errors.Join(err, l.close())
	}
	service := api.New(plane.Backend(), api.Options{Logger: opts.Logger})
	// Whoever asks for credentials does not want a way around them on the same machine.
	local := service.Local()
	if f.api.ClientCAFile != "" || f.api.TokensFile != "" {
		local = nil
	}
	registry := telemetry.NewRegistry("xds", version())
	registry.MustRegister(plane.Metrics())
	metrics := telemetry.Handler(registry, opts.Logger)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return plane.Run(ctx, l.xds) })
	g.Go(func() error {
		return admin.Serve(ctx, l.admin, admin.Handler(plane.Status, local, metrics), nil, opts.Logger)
	})
	if l.api != nil {
		g.Go(func() error { return l.api.Serve(ctx, service) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	opts.Logger.Info("stopped")
	return nil
}

// open takes the addresses. After an error those that it has got are to be closed.
func (f *flags) open(ctx context.Context, log *slog.Logger) (l listeners, err error) {
	if l.xds, err = (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen); err != nil {
		return l, fmt.Errorf("xDS address %q: %w", f.listen, err)
	}
	if a, err := netip.ParseAddrPort(l.xds.Addr().String()); err == nil && !a.Addr().Unmap().IsLoopback() {
		log.Warn("xDS is open to other machines and has no access control", "address", l.xds.Addr().String())
	}
	if l.admin, err = admin.Listen(ctx, f.admin); err != nil {
		return l, err
	}
	log.Info("listening", "admin", l.admin.Addr().String())
	if f.api.Address == "" {
		return l, nil
	}
	opts := f.api
	opts.Logger = log
	if l.api, err = api.Listen(ctx, opts); err != nil {
		return l, err
	}
	log.Info("listening", "api", l.api.Addr().String())
	return l, nil
}

func (l listeners) close() error {
	var errs []error
	for _, c := range []io.Closer{l.xds, l.admin} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if l.api != nil {
		errs = append(errs, l.api.Close())
	}
	return errors.Join(errs...)
}
