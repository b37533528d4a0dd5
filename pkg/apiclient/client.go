package apiclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

// Limits of a call.
const (
	// DefaultTimeout is enough for a large configuration to be compiled and checked.
	DefaultTimeout = 2 * time.Minute
	// ReadTimeout bounds a call that changes nothing; an answer is at hand.
	ReadTimeout = 20 * time.Second
	dialTimeout = 5 * time.Second
	// maxAnswer bounds what is read of one answer, in bytes.
	maxAnswer = 64 << 20
)

// Options say where the API is and who asks.
type Options struct {
	// Server is http://host:port, https://host:port, unix:///path, or host:port,
	// which means http.
	Server string
	// Token is sent as a bearer token; empty for none. It is refused where it would
	// cross a network in the clear.
	Token string
	// TLS is for https; nil uses the system's roots and no client certificate.
	TLS *tls.Config
	// Timeout of a call that answers once, ReadTimeout at most where it changes nothing;
	// 0 is DefaultTimeout.
	Timeout time.Duration
}

// Client calls the admin API. Errors of the calls that answer once are *Error. It is
// safe for concurrent use.
type Client struct {
	adminv1connect.AdminClient
	address   address
	transport *http.Transport
}

// New makes a client; nothing is connected yet. Close it when it is not needed any more.
func New(opts Options) (*Client, error) {
	at, err := parseAddress(opts.Server)
	if err != nil {
		return nil, err
	}
	if opts.Token != "" && !at.private() {
		return nil, fmt.Errorf("the token is not sent to %s, which is neither https, nor this machine", at.shown)
	}
	timeout := opts.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	c := &Client{address: at, transport: &http.Transport{
		DialContext: at.dial(&net.Dialer{Timeout: dialTimeout}), TLSClientConfig: opts.TLS.Clone(),
		TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2,
	}}
	httpClient := &http.Client{
		Transport: bearer{c.transport, opts.Token},
		// Wherever else it leads to was not meant to have the token or the documents.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.AdminClient = adminv1connect.NewAdminClient(httpClient, at.base,
		connect.WithReadMaxBytes(maxAnswer), connect.WithInterceptors(unary(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				limit := timeout
				if !changes(req.Spec().Procedure) {
					limit = min(limit, ReadTimeout)
				}
				ctx, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				answer, err := next(ctx, req)
				return answer, c.explain(err)
			}
		})))
	return c, nil
}

// Server is where the client calls, as it was given.
func (c *Client) Server() string { return c.address.shown }

// Close drops idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// changes tells which calls may change something.
func changes(procedure string) bool {
	switch procedure {
	case adminv1connect.AdminApplyProcedure, adminv1connect.AdminRollbackProcedure, adminv1connect.AdminSetBreakerProcedure,
		adminv1connect.AdminSetDrainProcedure, adminv1connect.AdminPurgeCacheProcedure, adminv1connect.AdminSucceedProcedure, adminv1connect.AdminFailbackProcedure,
		adminv1connect.AdminPromoteProcedure:
		return true
	default:
		return false
	}
}

// bearer adds the token to every request (RFC 6750, section 2.1).
type bearer struct {
	next  http.RoundTripper
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	if b.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(req) //nolint:wrapcheck // a transport
}

// unary wraps calls that answer once, and leaves streams alone.
type unary func(connect.UnaryFunc) connect.UnaryFunc

func (u unary) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc { return u(next) }

func (unary) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (unary) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

var errNoServer = errors.New("there is no server to ask")
