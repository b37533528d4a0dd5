package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the HTTP server. Handlers that need longer say so for their own request,
// with an http.ResponseController.
const (
	maxHeaderBytes = 16 << 10
	maxConnections = 128
	maxStreams     = 64
	readTimeout    = 5 * time.Second
	writeTimeout   = 10 * time.Second
	idleTimeout    = 30 * time.Second
	pingAfter      = 30 * time.Second
	drainLimit     = 2 * time.Second
)

// Serve answers on a listener until ctx ends, and closes it: HTTP/1.1 and HTTP/2, over
// TLS where config is not nil, else in the clear. Requests under way at the
// end have two seconds; those that last should end by themselves, see Stopping.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, config *tls.Config, logger *slog.Logger) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(config == nil)
	base := context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, ctx.Done())
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: maxHeaderBytes, TLSConfig: config, Protocols: &protocols,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, WriteByteTimeout: writeTimeout},
		BaseContext: func(net.Listener) context.Context { return base },
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	listener = netutil.LimitListener(listener, maxConnections)
	failed := make(chan error, 1)
	go func() {
		if config == nil {
			failed <- server.Serve(listener)
			return
		}
		failed <- server.ServeTLS(listener, "", "")
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainLimit)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		err = server.Close()
		if err != nil {
			return fmt.Errorf("stopping %s: %w", listener.Addr(), err)
		}
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	}
	return nil
}

type stoppingKey struct{}

// Stopping gives a channel that is closed when Serve begins to stop, for a request that it
// answers; nil for other contexts.
func Stopping(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return done
}
