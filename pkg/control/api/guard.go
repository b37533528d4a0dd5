package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
)

var (
	errBusy  = errors.New("too many calls at once; nothing was done, try again")
	errSlow  = errors.New("the message took too long to arrive; nothing was done")
	errLimit = errors.New("the time that a call takes cannot be limited on this connection")
)

// slots bound what goes on at once.
type slots chan struct{}

// take a slot, without waiting; false where there is none. The caller gives it back.
func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) give() { <-s }

// guard is what stands between a listener and the service: it finds out who is there, what for,
// and whether there is room, before a byte of a message is read.
type guard struct {
	service *Service
	access  *access
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	s := g.service
	who, err := g.access.caller(r)
	if err != nil {
		if connect.CodeOf(err) == connect.CodeUnauthenticated && g.access.tokens != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast"`)
		}
		g.refuse(w, r, who, err)
		return
	}
	if r.URL.Path == admin.OpenAPIPath {
		openAPI(w, r)
		return
	}
	what, ok := kindOf(r.URL.Path)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if who.role < what.role() {
		err := fmt.Errorf("%w: %s has the role %s, and this takes the role %s", errForbidden, who.subject, who.role, what.role())
		g.refuse(w, r, who, connect.NewError(connect.CodePermissionDenied, err))
		return
	}
	room := s.room(what)
	if !room.take() {
		s.answer(w, r, connect.NewError(connect.CodeResourceExhausted, errBusy))
		return
	}
	defer room.give()
	g.serve(w, r, who, what)
}

// serve gives the request its time, and hands it on.
func (g *guard) serve(w http.ResponseWriter, r *http.Request, who caller, what kind) {
	s := g.service
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	control := http.NewResponseController(w)
	now := time.Now() // connections know no other clock
	readBy, writeBy := now.Add(s.times.body), time.Time{}
	if what != watching {
		ctx, cancel = context.WithTimeout(ctx, s.times.call)
		writeBy = now.Add(s.times.call + s.times.answer)
	}
	defer cancel()
	if errors.Join(control.SetReadDeadline(readBy), control.SetWriteDeadline(writeBy)) != nil {
		s.answer(w, r, connect.NewError(connect.CodeInternal, errLimit))
		return
	}
	ctx = context.WithValue(ctx, callKey{}, &call{caller: who, remote: remote(r), control: control})
	r = r.WithContext(ctx)
	// Connect reads messages that are too large to their end, to keep the connection.
	r.Body = body{http.MaxBytesReader(w, r.Body, maxBodyBytes)}
	s.rpc.ServeHTTP(w, r)
}

// body gives the end of its time the code that it has in RPC.
type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = connect.NewError(connect.CodeDeadlineExceeded, errSlow)
	}
	return n, err
}

// refuse a caller, and keep count in the log. A caller who can make the log grow at will can
// also hide something in it.
func (g *guard) refuse(w http.ResponseWriter, r *http.Request, who caller, err error) {
	s := g.service
	if s.refusals.AllowN(s.now(), 1) {
		s.log.WarnContext(r.Context(), "admin API: caller refused", "remote", remote(r), "subject", who.subject,
			"code", connect.CodeOf(err).String(), "error", err.Error(), "refused_without_a_line", s.unlogged.Swap(0))
	} else {
		s.unlogged.Add(1)
	}
	s.answer(w, r, err)
}

// remote is the other end of a request's connection.
func remote(r *http.Request) string {
	if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		return "unix socket"
	}
	return r.RemoteAddr
}

// openAPI serves the description of the API.
func openAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Who has gone away meanwhile needs no answer.
	_, _ = w.Write([]byte(adminv1.OpenAPI()))
}
