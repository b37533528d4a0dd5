package api

import (
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
)

var (
	errForbidden = errors.New("not allowed")
	errBrowser   = errors.New("requests of web pages are not served")
	errHost      = errors.New("only requests to a loopback host are served")
	errNobody    = errors.New("who is there? A token or a client certificate is required")
	errToken     = errors.New("the token is not known")
	errTokens    = errors.New("tokens cannot be checked now; the control plane's log says why")
)

// access tells who a request comes from, on one listener. The zero access believes everybody.
type access struct {
	// hosts: only loopback hosts may be asked for.
	hosts bool
	// tokens that are accepted; nil for none.
	tokens *fromFiles[tokens]
	// certificates of clients are accepted.
	certificates bool
	now          func() time.Time
}

// caller of a request. Errors have codes. A caller that comes with an error may be named in a log.
func (a *access) caller(r *http.Request) (caller, error) {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none": // none: a person typed the address
	default:
		return caller{}, connect.NewError(connect.CodePermissionDenied, errBrowser)
	}
	if len(r.Header.Values("Origin")) > 0 {
		return caller{}, connect.NewError(connect.CodePermissionDenied, errBrowser)
	}
	if a.hosts && !admin.LoopbackHost(r.Host) {
		return caller{}, connect.NewError(connect.CodePermissionDenied, errHost)
	}
	if a.tokens == nil && !a.certificates {
		return caller{role: Write, by: "local"}, nil
	}
	return a.authenticated(r)
}

// authenticated lets a token decide where one is sent, else the certificate.
func (a *access) authenticated(r *http.Request) (caller, error) {
	if values := r.Header.Values("Authorization"); len(values) > 0 && a.tokens != nil {
		return a.byToken(values)
	}
	if a.certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		c, err := certified(r.TLS.VerifiedChains[0][0], a.now())
		switch {
		case errors.Is(err, errForbidden):
			return c, connect.NewError(connect.CodePermissionDenied, err)
		case err != nil:
			return c, connect.NewError(connect.CodeUnauthenticated, err)
		}
		return c, nil
	}
	return caller{}, connect.NewError(connect.CodeUnauthenticated, errNobody)
}

// byToken lets nobody in while the file is of no use: whoever took it away or broke
// it may have meant to shut somebody out.
func (a *access) byToken(values []string) (caller, error) {
	presented, err := bearer(values)
	if err != nil {
		return caller{}, connect.NewError(connect.CodeUnauthenticated, err)
	}
	known, err := a.tokens.get()
	if err != nil {
		return caller{}, connect.NewError(connect.CodeUnavailable, errTokens)
	}
	t, ok := known.find(presented)
	if !ok {
		return caller{}, connect.NewError(connect.CodeUnauthenticated, errToken)
	}
	return caller{subject: t.subject, role: t.role, by: "token"}, nil
}
