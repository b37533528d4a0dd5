// Package probe looks at the endpoints of MCP servers in layers: a connection, TLS, an HTTP page, MCP's handshake, a
// list, a call of a tool, and a page of metrics. What an endpoint is found bad for is the lowest layer that
// fails. A Prober makes single probes; a Watch makes them again and again for one endpoint, one at a time.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// Layer is what a probe looks at.
type Layer string

// Values of Layer, from the lowest to the highest.
const (
	TCP       Layer = "tcp"
	TLS       Layer = "tls"
	HTTP      Layer = "http"
	Handshake Layer = "handshake"
	List      Layer = "list"
	Query     Layer = "query"
	Metrics   Layer = "metrics"
)

// Layers in order.
func Layers() []Layer { return []Layer{TCP, TLS, HTTP, Handshake, List, Query, Metrics} }

// Outcome is what a probe or a layer comes to.
type Outcome int

// Values of Outcome.
const (
	// Unknown: it has not been looked at, or cannot be: the server asks for credentials, say.
	Unknown Outcome = iota
	// Good: as it should be.
	Good
	// Strained: it answers that it does not do well (429).
	Strained
	// Failed: it does not answer, or not as it should.
	Failed
)

// String gives the outcome's name.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Good:
		return "good"
	case Strained:
		return "strained"
	case Failed:
		return "failed"
	default:
		return "none"
	}
}

// Result of one probe.
type Result struct {
	Layer   Layer
	Outcome Outcome
	// Began is when the probe began, Took how long it took.
	Began time.Time
	Took  time.Duration
	// Detail says in words what was wrong; empty where nothing was.
	Detail string
	// CPU and Memory in use are shares from 0 to 1; nil where they are not known.
	CPU, Memory *float64
}

// Target is one endpoint.
type Target struct {
	// Server, Region and Name say which it is.
	Server, Region, Name string
	// Address is host:port.
	Address string
	// Path of the MCP endpoint.
	Path   string
	TLS    *model.TLS
	Probes model.Probes
	// CPU and Memory are the shares from which on the metrics layer fails.
	CPU, Memory float64
}

// pace is that of a layer; nil where it is not looked at.
func (t *Target) pace(l Layer) *model.Probe {
	p := &t.Probes
	switch l {
	case TCP:
		return p.TCP
	case TLS:
		return p.TLS
	case HTTP:
		return p.HTTP
	case Handshake:
		return p.Handshake
	case List:
		return p.List
	case Query:
		if p.Query != nil {
			return &p.Query.Probe
		}
	case Metrics:
		if p.Metrics != nil {
			return &p.Metrics.Probe
		}
	}
	return nil
}

// Prober makes single probes of one endpoint. It is for one goroutine at a time.
type Prober struct {
	target Target
	client *http.Client
	tls    *tls.Config
	// tlsProblem is what is wrong with the files of the target's TLS.
	tlsProblem error
	// version is the program's, for servers' logs.
	version string
	// legacy: the endpoint was last found to know initialize only.
	legacy bool
	// modern: its last handshake was server/discover, and needs no repetition.
	modern bool
	cpu    cpuCounter
}

// New makes a Prober. Files that TLS needs are read now; what is wrong with them is what the TLS
// layer then fails with.
func New(target Target, version string) *Prober {
	p := &Prober{target: target, version: version}
	if target.TLS != nil {
		p.tls, p.tlsProblem = clientTLS(*target.TLS)
	}
	if p.client = plainClient(); p.tls != nil {
		p.client = newClient(p.tls)
	}
	return p
}

// plainClient is for all endpoints without TLS: nothing of a connection outlives its probe.
var plainClient = sync.OnceValue(func() *http.Client { return newClient(nil) })

func newClient(t *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			// Each probe makes a connection of its own, as a new caller would.
			Proxy: nil, DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext,
			TLSClientConfig: t, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// clientTLS is what Envoy's TLS with the endpoint is, too.
func clientTLS(t model.TLS) (*tls.Config, error) {
	authorities, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("certificates of authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("certificates of authorities: %s has none", t.CA)
	}
	out := &tls.Config{RootCAs: pool, ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.Certificate != "" {
		own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, fmt.Errorf("the gateway's own certificate: %w", err)
		}
		out.Certificates = []tls.Certificate{own}
	}
	return out, nil
}

// Probe looks at one layer, within its timeout for each try, and again at once as often as its
// retries allow while it fails.
func (p *Prober) Probe(ctx context.Context, layer Layer) Result {
	pace := p.target.pace(layer)
	if pace == nil {
		return Result{Layer: layer, Began: time.Now()}
	}
	var out Result
	for range 1 + pace.Retries {
		out = p.once(ctx, layer, pace.Timeout)
		if out.Outcome != Failed || ctx.Err() != nil {
			break
		}
	}
	return out
}

func (p *Prober) once(ctx context.Context, layer Layer, timeout time.Duration) Result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := Result{Layer: layer, Began: time.Now(), Outcome: Good}
	err := p.look(ctx, layer, &out)
	out.Took = time.Since(out.Began)
	if err == nil {
		return out
	}
	switch {
	case errors.Is(err, errStrained):
		out.Outcome = Strained
	case errors.Is(err, errNotAsked):
		out.Outcome = Unknown
	default:
		out.Outcome = Failed
	}
	out.Detail = words(err, timeout)
	return out
}

func (p *Prober) look(ctx context.Context, layer Layer, out *Result) error {
	switch layer {
	case TCP:
		return p.connect(ctx)
	case TLS:
		return p.shake(ctx)
	case HTTP:
		return p.page(ctx)
	case Handshake:
		return p.greet(ctx)
	case List:
		return p.list(ctx)
	case Query:
		return p.query(ctx)
	case Metrics:
		return p.metrics(ctx, out)
	default:
		return fmt.Errorf("%w: there is no layer %q", errNotAsked, layer)
	}
}

var (
	// errStrained: the endpoint answers, and says that it does not do well.
	errStrained = errors.New("the endpoint is strained")
	// errNotAsked: nothing is known of the layer.
	errNotAsked = errors.New("cannot be looked at")
)

// maxDetail bounds what is told of a failure, in bytes.
const maxDetail = 300

// words say what was wrong, without what a server may have put there to steer a terminal.
func words(err error, timeout time.Duration) string {
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = fmt.Sprintf("no answer within %s", timeout)
	}
	return printable(text, maxDetail)
}

func (p *Prober) connect(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.target.Address)
	if err != nil {
		return err //nolint:wrapcheck // says the address
	}
	// Nothing was sent: there is nothing to lose in closing.
	_ = conn.Close()
	return nil
}

func (p *Prober) shake(ctx context.Context) error {
	if p.tlsProblem != nil {
		return p.tlsProblem
	}
	d := tls.Dialer{Config: p.tls}
	conn, err := d.DialContext(ctx, "tcp", p.target.Address)
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	_ = conn.Close()
	return nil
}

// url of a path of the endpoint, on another port where port is not 0.
func (p *Prober) url(path string, port uint32) string {
	scheme, address := "http", p.target.Address
	if p.tls != nil || p.tlsProblem != nil {
		scheme = "https"
	}
	if port != 0 {
		if host, _, err := net.SplitHostPort(address); err == nil {
			address = net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
		}
	}
	return scheme + "://" + address + path
}

func (p *Prober) page(ctx context.Context) error {
	if p.tlsProblem != nil {
		return p.tlsProblem
	}
	resp, err := p.get(ctx, p.url(p.target.Probes.HealthPath, 0))
	if err != nil {
		return err
	}
	// A page that goes on for ever is none of ours to read.
	_ = resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests:
		return fmt.Errorf("%w: status 429", errStrained)
	case code >= 200 && code < 300, p.target.Probes.AcceptMissing && code >= 400 && code < 500:
		return nil
	default:
		return fmt.Errorf("GET %s: status %d", p.target.Probes.HealthPath, code)
	}
}

func (p *Prober) get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err //nolint:wrapcheck // says the URL
	}
	req.Header.Set("User-Agent", "holdfast-probe/"+p.version)
	return p.do(req)
}

// do sends a request; errors say what went wrong without repeating the request.
func (p *Prober) do(req *http.Request) (*http.Response, error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	return resp, nil
}
