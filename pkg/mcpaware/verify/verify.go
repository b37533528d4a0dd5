// Package verify finds out which MCP servers compare the headers Mcp-Method and Mcp-Name
// with the body of a request (revision 2026-07-28, server validation): it sends each
// endpoint messages whose headers and body differ, and expects error -32020. Large bodies go
// unread only to servers of which every endpoint has passed.
package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

const (
	// codeHeaderMismatch is the error of revision 2026-07-28 for a header that does not equal
	// the body.
	codeHeaderMismatch = -32020
	// timeout of one message, maxAnswerBytes of what is read of the answer.
	timeout        = 2 * time.Second
	maxAnswerBytes = 64 << 10
	// atOnce is how many endpoints are asked at a time.
	atOnce = 4
	// DefaultInterval between two rounds.
	DefaultInterval = 10 * time.Second
)

// Options of a Checker. Servers is required.
type Options struct {
	// Servers gives all servers in force that the operator says compare headers.
	Servers func() []*policyv1.Server
	// Transport to the endpoints; nil is one of its own.
	Transport http.RoundTripper
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Checker knows which endpoints have passed. It is safe for concurrent use; Run asks.
type Checker struct {
	opts   Options
	client *http.Client
	// passed has the last word of every endpoint; it is replaced, never changed.
	passed atomic.Pointer[map[endpoint]bool]
}

// endpoint is one endpoint's MCP endpoint.
type endpoint struct{ address, path string }

// New makes a Checker; until Run has asked, no endpoint has passed.
func New(o Options) *Checker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * DefaultInterval, DisableCompression: true}
	}
	c := &Checker{opts: o, client: &http.Client{
		Transport: o.Transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	c.passed.Store(&map[endpoint]bool{})
	return c
}

// Verified says whether every endpoint of a server has passed.
func (c *Checker) Verified(s *policyv1.Server) bool {
	passed := *c.passed.Load()
	for _, e := range s.GetEndpoints() {
		if !passed[endpoint{e.GetAddress(), s.GetVerifiedPath()}] {
			return false
		}
	}
	return s.GetVerifiedPath() != "" && len(s.GetEndpoints()) > 0
}

// Run asks again and again until ctx ends: every DefaultInterval, and every second while
// there is an endpoint that has not said anything yet.
func (c *Checker) Run(ctx context.Context) {
	const soon = time.Second
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if c.Round(ctx) {
			timer.Reset(DefaultInterval)
		} else {
			timer.Reset(soon)
		}
	}
}

// Round asks every endpoint once; complete says that all have answered. What an endpoint said
// stands for as long as it cannot be reached.
func (c *Checker) Round(ctx context.Context) (complete bool) {
	var wanted []endpoint
	seen := map[endpoint]bool{}
	for _, s := range c.opts.Servers() {
		for _, e := range s.GetEndpoints() {
			at := endpoint{e.GetAddress(), s.GetVerifiedPath()}
			if at.path != "" && !seen[at] {
				seen[at] = true
				wanted = append(wanted, at)
			}
		}
	}
	verdicts := make([]error, len(wanted))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, at := range wanted {
		group.Go(func() error { verdicts[i] = c.check(ctx, at); return nil })
	}
	_ = group.Wait() // no check fails the others
	complete = c.take(wanted, verdicts)
	c.client.CloseIdleConnections()
	return complete
}

// take puts new verdicts into force and tells those that differ from the old ones.
func (c *Checker) take(wanted []endpoint, verdicts []error) (complete bool) {
	before, now := *c.passed.Load(), make(map[endpoint]bool, len(wanted))
	complete = true
	for i, at := range wanted {
		err := verdicts[i]
		old, known := before[at]
		if errors.Is(err, errUnreachable) {
			complete = false
			if known {
				now[at] = old
			}
			continue
		}
		now[at] = err == nil
		switch {
		case err == nil && !old:
			c.opts.Logger.Info("endpoint compares headers with bodies: large ones go to it unread", "endpoint", at.address, "path", at.path)
		case err != nil && (old || !known):
			c.opts.Logger.Warn("endpoint does not compare headers with bodies: all are read", "endpoint", at.address, "path", at.path, "reason", err)
		}
	}
	c.passed.Store(&now)
	return complete
}

var errUnreachable = errors.New("endpoint cannot be asked")

// trick is a message whose headers say something else than its body.
type trick struct{ what, method, name string }

// check sends every trick. The tool does not exist: a server that believes the body says so.
func (c *Checker) check(ctx context.Context, at endpoint) error {
	for _, t := range []trick{
		{"Mcp-Name", "tools/call", "holdfast-verification-other"},
		{"Mcp-Method", "tools/list", "holdfast-verification"},
	} {
		if err := c.play(ctx, at, t); err != nil {
			return err
		}
	}
	return nil
}

const body = `{"jsonrpc":"2.0","id":"holdfast-verification","method":"tools/call","params":{"name":"holdfast-verification","arguments":{},` +
	`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"holdfast","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`

func (c *Checker) play(ctx context.Context, at endpoint, t trick) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.address+at.path, bytes.NewReader([]byte(body)))
	if err != nil {
		return fmt.Errorf("asking %s: %w", at.address, err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
		"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": t.method, "Mcp-Name": t.name,
	} {
		req.Header.Set(name, value)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("%w: status %d", errUnreachable, resp.StatusCode)
	}
	parsed, fault := wire.ParseAnswer(answer)
	if fault != nil || resp.StatusCode != http.StatusBadRequest || !parsed.HasError || parsed.ErrorCode != codeHeaderMismatch {
		return fmt.Errorf("a message with another %s than its body was answered with status %d and no error %d", t.what, resp.StatusCode, codeHeaderMismatch)
	}
	return nil
}
