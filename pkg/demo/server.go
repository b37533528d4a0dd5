package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry/trace"
)

// Config of a demo server.
type Config struct {
	// Server is Orders or Inventory.
	Server string
	// Name of the endpoint and its Region, for the journal.
	Name   string
	Region string
	// Journal gets every execution; nil: they are not kept.
	Journal *Journal
	// Logger may be nil.
	Logger *slog.Logger
	// Version is told to clients.
	Version string
	// Stateful gives each client a session, as revisions up to 2025-11-25 have them. It is
	// gone with the process, and clients that know newer revisions alone are refused.
	Stateful bool
	// Traces gets a span of every message that is traced; nil: none is.
	Traces *trace.Pipeline
}

// Server is one demo MCP server. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	faults faultPlan
	mcp    *mcp.Server
	// sse and json answer with event streams and with JSON bodies.
	sse, json http.Handler
}

// NewServer makes the server; it listens nowhere yet.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg}
	s.mcp = mcp.NewServer(&mcp.Implementation{Name: "shopmax-" + cfg.Server, Title: "ShopMax " + cfg.Server, Version: cfg.Version},
		&mcp.ServerOptions{
			Instructions: "ShopMax " + cfg.Server + ", a demonstration server with made-up data.",
			Logger:       slog.New(slog.DiscardHandler),
			Capabilities: &mcp.ServerCapabilities{Tools: &mcp.ToolCapabilities{}},
		})
	switch cfg.Server {
	case Orders:
		addOrderTools(s)
	case Inventory:
		addInventoryTools(s)
	default:
		return nil, fmt.Errorf("there is no demo server %q: use %s or %s", cfg.Server, Orders, Inventory)
	}
	s.mcp.AddReceivingMiddleware(s.failInMCP)
	if cfg.Traces != nil {
		s.mcp.AddReceivingMiddleware(s.traced)
	}
	handler := func(asJSON bool) http.Handler {
		return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.mcp }, &mcp.StreamableHTTPOptions{
			Stateless: !cfg.Stateful, JSONResponse: asJSON, PropagateRequestCancellation: true,
			Logger: slog.New(slog.DiscardHandler),
		})
	}
	s.sse, s.json = handler(false), handler(true)
	return s, nil
}

// Handler serves the public side: /mcp and /health.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mcp", s.failAround(http.HandlerFunc(s.serveMCP)))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n") // a prober that has gone needs no answer
	})
	return mux
}

func (s *Server) serveMCP(w http.ResponseWriter, r *http.Request) {
	if s.faults.current().JSON {
		s.json.ServeHTTP(w, r)
		return
	}
	s.sse.ServeHTTP(w, r)
}

// Limits of the HTTP servers. Answers have no limit: event streams last.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	shutdownGrace     = 2 * time.Second
)

// Serve answers on the public listener, and with the control handler on the
// other one (nil: there is none), until ctx ends; then it gives the requests under
// way a moment and closes both. The control listener must not be public: whoever
// reaches it can break the server.
func (s *Server) Serve(ctx context.Context, public, control net.Listener) error {
	type side struct {
		listener net.Listener
		server   *http.Server
	}
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	sides := []side{{public, s.httpServer(base, s.Handler())}}
	if control != nil {
		sides = append(sides, side{control, s.httpServer(base, s.Control())})
	}
	ended := make(chan error, len(sides))
	for _, one := range sides {
		go func() { ended <- one.server.Serve(one.listener) }()
	}
	var errs []error
	running := len(sides)
	select {
	case <-ctx.Done():
	case err := <-ended:
		running--
		errs = append(errs, fmt.Errorf("serving: %w", err))
	}
	grace, stop := context.WithTimeout(base, shutdownGrace)
	defer stop()
	for _, one := range sides {
		if one.server.Shutdown(grace) != nil {
			// Hanging calls are cut; that is what a demo of failures asks for.
			_ = one.server.Close()
		}
	}
	cancel()
	for range running {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("serving: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) httpServer(base context.Context, handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, BaseContext: func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// addTool registers a tool whose every execution is journalled before it begins.
func addTool[In, Out any](s *Server, tool *mcp.Tool, run func(context.Context, *mcp.CallToolRequest, In) (Out, error)) {
	mcp.AddTool(s.mcp, tool, func(ctx context.Context, req *mcp.CallToolRequest, in In) (*mcp.CallToolResult, Out, error) {
		if err := s.record(tool.Name, req); err != nil {
			s.cfg.Logger.Error("journal", slog.Any("error", err))
			var none Out
			return nil, none, &jsonrpc.Error{Code: jsonrpc.CodeInternalError, Message: "the execution cannot be journalled"}
		}
		out, err := run(ctx, req, in)
		return nil, out, err
	})
}

func (s *Server) record(tool string, req *mcp.CallToolRequest) error {
	id, _ := req.Params.Meta[CallIDKey].(string)
	if id == "" || len(id) > maxCallID {
		id = "generated-" + rand.Text()
	}
	return s.cfg.Journal.Append(Execution{
		Time: time.Now().UTC(), Server: s.cfg.Server, Endpoint: s.cfg.Name, Region: s.cfg.Region, Tool: tool, CallID: id,
	})
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}
