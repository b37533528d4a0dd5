package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/outcome"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

const (
	modernVersion = "2026-07-28"
	legacyVersion = "2025-11-25"
	// maxAnswerBytes of an answer are read.
	maxAnswerBytes = 4 << 20
	// closeTimeout bounds the end of a session, also of one whose probe has taken all its time.
	closeTimeout = time.Second
	// maxSessionID is how long an id may be that is repeated to the server.
	maxSessionID = 1024
	probeID      = `"holdfast-probe"`
)

// opened is a way to ask an endpoint: in the revision that has no sessions, or in a session.
type opened struct {
	modern  bool
	session string
	version string
}

// greet is MCP's handshake: server/discover or, where the endpoint does not know that, initialize.
func (p *Prober) greet(ctx context.Context) error {
	o, err := p.open(ctx)
	if err != nil {
		return err
	}
	p.close(ctx, o)
	return nil
}

// open shakes hands, in the way that was good the last time first.
func (p *Prober) open(ctx context.Context) (opened, error) {
	if p.tlsProblem != nil {
		return opened{}, p.tlsProblem
	}
	p.modern = false
	if !p.legacy {
		err := p.discover(ctx)
		if err == nil {
			p.modern = true
			return opened{modern: true, version: modernVersion}, nil
		}
		var other otherRevisionError
		if !errors.As(err, &other) {
			return opened{}, err
		}
		o, legacyErr := p.initialize(ctx)
		if legacyErr != nil {
			return opened{}, fmt.Errorf("server/discover: %w; initialize: %w", err, legacyErr)
		}
		p.legacy = true
		return o, nil
	}
	o, err := p.initialize(ctx)
	if err != nil {
		// Somebody may have put a newer server there.
		p.legacy = false
	}
	return o, err
}

// otherRevisionError is an answer that an endpoint gives that does not know server/discover.
type otherRevisionError struct{ words string }

func (e otherRevisionError) Error() string { return e.words }

const (
	codeMethodNotFound = -32601
	codeVersion        = -32022
)

func (p *Prober) discover(ctx context.Context) error {
	answer, status, _, err := p.ask(ctx, opened{modern: true, version: modernVersion}, "server/discover", "", "")
	if err != nil {
		return err
	}
	switch {
	case !answer.HasError && answer.Kind == wire.Response && outcome.Judge(&answer, []byte(probeID)) != outcome.Unrelated:
		if !supports(answer.Result, modernVersion) {
			return otherRevisionError{"the server does not support " + modernVersion}
		}
		return nil
	case answer.HasError && (answer.ErrorCode == codeMethodNotFound || answer.ErrorCode == codeVersion), status >= 400 && status < 500:
		return otherRevisionError{describe(answer, status)}
	default:
		return errors.New(describe(answer, status))
	}
}

// supports looks for a revision among those that a server says it has.
func supports(result jsontext.Value, version string) bool {
	raw, _ := wire.Find(result, "supportedVersions")
	var versions []string
	if err := json.Unmarshal(raw, &versions); err != nil {
		return false
	}
	return slices.Contains(versions, version)
}

func (p *Prober) initialize(ctx context.Context) (opened, error) {
	o := opened{version: legacyVersion}
	answer, status, header, err := p.ask(ctx, opened{}, "initialize", "", `"protocolVersion":"`+legacyVersion+
		`","capabilities":{},"clientInfo":{"name":"holdfast-probe","version":"`+safe(p.version)+`"}`)
	if err != nil {
		return o, err
	}
	if answer.HasError || outcome.Judge(&answer, []byte(probeID)) == outcome.Unrelated {
		return o, errors.New(describe(answer, status))
	}
	raw, found := wire.Find(answer.Result, "protocolVersion")
	version, ok := wire.Unquote(raw)
	if !found || !ok || len(version) > maxSessionID {
		return o, errors.New("the answer has no result with a protocolVersion")
	}
	o.version, o.session = version, header.Get("Mcp-Session-Id")
	if len(o.session) > maxSessionID {
		return o, errors.New("the session id is too long")
	}
	if err := p.notify(ctx, o); err != nil {
		p.close(ctx, o)
		return o, err
	}
	return o, nil
}

// notify says that the session may begin.
func (p *Prober) notify(ctx context.Context, o opened) error {
	resp, err := p.post(ctx, o, "notifications/initialized", "", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err != nil {
		return fmt.Errorf("notifications/initialized: %w", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("notifications/initialized: status %d", resp.StatusCode)
	}
	return nil
}

// close ends a session, so that probes leave none behind. A server that does not let its clients end them
// has to forget them by itself.
func (p *Prober) close(ctx context.Context, o opened) {
	if o.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, p.url(p.target.Path, 0), http.NoBody)
	if err != nil {
		return
	}
	p.head(req, o)
	if resp, err := p.do(req); err == nil {
		_ = resp.Body.Close()
	}
}

// way is how a request can be made: without a handshake where the endpoint was found not to need one.
func (p *Prober) way(ctx context.Context) (opened, error) {
	if p.modern && p.tlsProblem == nil {
		return opened{modern: true, version: modernVersion}, nil
	}
	return p.open(ctx)
}

// list asks for the tools.
func (p *Prober) list(ctx context.Context) error {
	o, err := p.way(ctx)
	if err != nil {
		return err
	}
	defer p.close(ctx, o)
	answer, status, _, err := p.ask(ctx, o, "tools/list", "", "")
	if err != nil {
		return err
	}
	// A server without tools has said so.
	if outcome.Judge(&answer, []byte(probeID)) == outcome.Succeeded || answer.HasError && answer.ErrorCode == codeMethodNotFound {
		return nil
	}
	return errors.New(describe(answer, status))
}

func (p *Prober) query(ctx context.Context) error {
	o, err := p.way(ctx)
	if err != nil {
		return err
	}
	defer p.close(ctx, o)
	q := p.target.Probes.Query
	name, err := jsontext.AppendQuote(nil, q.Tool)
	if err != nil {
		return fmt.Errorf("name of the tool: %w", err)
	}
	answer, status, _, err := p.ask(ctx, o, "tools/call", q.Tool, `"name":`+string(name)+`,"arguments":`+q.Arguments)
	if err != nil {
		return err
	}
	if outcome.Judge(&answer, []byte(probeID)) != outcome.Succeeded || answer.HasError || answer.IsError {
		return fmt.Errorf("the tool %s: %s", q.Tool, describe(answer, status))
	}
	return nil
}

// describe says what came for an answer.
func describe(answer wire.Answer, status int) string {
	switch {
	case answer.HasError:
		return fmt.Sprintf("status %d, JSON-RPC error %d: %s", status, answer.ErrorCode, answer.ErrorMessage)
	case answer.IsError:
		text, _ := wire.Unquote(answer.Text)
		return "its result is an error: " + text
	case status == http.StatusOK:
		return "the answer is not one to the request"
	default:
		return fmt.Sprintf("status %d", status)
	}
}

// ask sends a request and reads its answer. An answer without a JSON-RPC message is an error, one of its status where that is
// not 200; 401 and 403 are errNotAsked, 429 is errStrained.
func (p *Prober) ask(ctx context.Context, o opened, method, name, params string) (wire.Answer, int, http.Header, error) {
	if o.modern {
		meta := `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + modernVersion +
			`","io.modelcontextprotocol/clientInfo":{"name":"holdfast-probe","version":"` + safe(p.version) + `"},"io.modelcontextprotocol/clientCapabilities":{}}`
		if params != "" {
			meta += ","
		}
		params = meta + params
	}
	resp, err := p.post(ctx, o, method, name, `{"jsonrpc":"2.0","id":`+probeID+`,"method":"`+method+`","params":{`+params+`}}`)
	if err != nil {
		return wire.Answer{}, 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch code := resp.StatusCode; code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return wire.Answer{}, code, nil, fmt.Errorf("%w: the server asks for credentials (status %d)", errNotAsked, code)
	case http.StatusTooManyRequests:
		return wire.Answer{}, code, nil, fmt.Errorf("%w: status 429", errStrained)
	default:
	}
	answer, err := firstAnswer(resp)
	switch {
	case err == nil:
		return answer, resp.StatusCode, resp.Header, nil
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		// A server that does not understand the request need not say so in JSON-RPC.
		return wire.Answer{}, resp.StatusCode, nil, otherRevisionError{fmt.Sprintf("status %d", resp.StatusCode)}
	case resp.StatusCode != http.StatusOK:
		return wire.Answer{}, resp.StatusCode, nil, fmt.Errorf("status %d", resp.StatusCode)
	default:
		return wire.Answer{}, resp.StatusCode, nil, err
	}
}

func (p *Prober) post(ctx context.Context, o opened, method, name, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url(p.target.Path, 0), strings.NewReader(body))
	if err != nil {
		return nil, err //nolint:wrapcheck // says the URL
	}
	req.Header.Set("Content-Type", "application/json")
	p.head(req, o)
	if o.modern {
		req.Header.Set("Mcp-Method", method)
		if name != "" {
			req.Header.Set("Mcp-Name", encoded(name))
		}
	}
	return p.do(req)
}

func (p *Prober) head(req *http.Request, o opened) {
	req.Header.Set("User-Agent", "holdfast-probe/"+p.version)
	req.Header.Set("Accept", "application/json, text/event-stream")
	if o.version != "" {
		req.Header.Set("Mcp-Protocol-Version", o.version)
	}
	if o.session != "" {
		req.Header.Set("Mcp-Session-Id", o.session)
	}
}

// firstAnswer reads a JSON answer, or an event stream up to the first answer in it.
func firstAnswer(resp *http.Response) (wire.Answer, error) {
	body := io.LimitReader(resp.Body, maxAnswerBytes)
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && media == "text/event-stream" {
		return firstEvent(body)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return wire.Answer{}, plain(err)
	}
	return parsed(data)
}

func firstEvent(body io.Reader) (wire.Answer, error) {
	stream := wire.NewEventStream(maxAnswerBytes)
	chunk := make([]byte, 4<<10)
	for {
		n, err := body.Read(chunk)
		events, fault := stream.Feed(chunk[:n])
		for i := range events {
			if !events[i].IsMessage() {
				continue
			}
			answer, bad := parsed(bytes.Clone(events[i].Data))
			if bad != nil || answer.Kind == wire.Response {
				return answer, bad
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return wire.Answer{}, errors.New("the event stream ended without an answer")
		case err != nil || fault != nil:
			return wire.Answer{}, errors.Join(err, fault)
		}
	}
}

func parsed(data []byte) (wire.Answer, error) {
	answer, fault := wire.ParseAnswer(data)
	if fault != nil {
		return wire.Answer{}, errors.New("the answer is no JSON-RPC message")
	}
	return answer, nil
}
