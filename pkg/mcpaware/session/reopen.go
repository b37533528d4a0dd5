package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/singleflight"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// ReopenTimeout bounds the opening of a session on another endpoint, all its messages
// together.
const ReopenTimeout = 5 * time.Second

// maxOpeningBytes bounds the answer to an initialize.
const maxOpeningBytes = 1 << 20

// Target is an endpoint on which a session is opened again.
type Target struct {
	// Address is host:port; Region is the endpoint's.
	Address, Region string
	// Path of the MCP endpoint, Host for the header of that name.
	Path, Host string
	// Header is sent along, the caller's credentials for instance.
	Header http.Header
	// Version is the revision that the client was told; empty where its messages do not
	// say. Another one would need another client.
	Version string
}

// Reopener opens lost sessions again on other endpoints, with the messages that the
// client opened them with. It is safe for concurrent use.
type Reopener struct {
	store  Store
	client *http.Client
	flight singleflight.Group
	strays strays
}

// NewReopener keeps what it opens in store and talks to endpoints by transport; nil is
// one of its own.
func NewReopener(store Store, transport http.RoundTripper) *Reopener {
	if transport == nil {
		transport = &http.Transport{
			Proxy: nil, MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	r := &Reopener{store: store, client: &http.Client{
		Transport: transport, Timeout: ReopenTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	r.strays.init()
	if memory := memoryOf(store); memory != nil {
		replaced := r.strays.replaced
		memory.replaced.Store(&replaced)
	}
	return r
}

// Store is where sessions are kept.
func (r *Reopener) Store() Store { return r.store }

// Reopen returns the state of a session that is alive on the target: that of whoever
// has opened it there already, or its own. ErrUnknown: the session was ended, or
// nothing is known to open it with.
func (r *Reopener) Reopen(ctx context.Context, s *Session, server string, at Target) (*sessionv1.State, error) {
	if len(s.Initialize) == 0 {
		return nil, ErrUnknown
	}
	key := s.Key(server)
	// All that arrive together wait for the one that opens, whatever becomes of its caller.
	opened, err, _ := r.flight.Do(key+"@"+at.Address, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ReopenTimeout)
		defer cancel()
		return r.reopen(ctx, s, key, at)
	})
	if err != nil {
		return nil, err
	}
	state, ok := opened.(*sessionv1.State)
	if !ok {
		return nil, ErrUnknown
	}
	return state, nil
}

func (r *Reopener) reopen(ctx context.Context, s *Session, key string, at Target) (*sessionv1.State, error) {
	before, err := r.store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	switch {
	case before.GetEnded():
		return nil, ErrUnknown
	case before.GetEndpoint() == at.Address && !before.GetLost():
		return before, nil
	}
	id, err := r.open(ctx, s, before, at)
	if err != nil {
		return nil, err
	}
	mine := &sessionv1.State{Endpoint: at.Address, Region: at.Region, UpstreamId: id, OpenedAt: time.Now().UnixNano()}
	r.strays.opened(key, mine)
	kept, err := Change(ctx, r.store, key, func(state *sessionv1.State) bool {
		if state.GetEnded() || !state.GetLost() && state.GetOpenedAt() != before.GetOpenedAt() {
			// Ended meanwhile, or opened by somebody who was faster.
			return false
		}
		state.Endpoint, state.Region, state.UpstreamId, state.Lost = mine.GetEndpoint(), mine.GetRegion(), id, false
		state.OpenedAt = mine.GetOpenedAt()
		return true
	})
	if err != nil {
		return mine, nil //nolint:nilerr // the session is open; that nobody else knows is the store's to tell
	}
	r.strays.replaced(key, mine, kept)
	switch {
	case kept.GetEnded():
		return nil, ErrUnknown
	case kept.GetEndpoint() != at.Address:
		// This call has landed here; the next one goes to where the session stays.
		return mine, nil
	}
	return kept, nil
}

// open says what the client said when it opened the session, and what it has asked for since.
func (r *Reopener) open(ctx context.Context, s *Session, before *sessionv1.State, at Target) (string, error) {
	id, version, err := r.initialize(ctx, s, at)
	if err != nil {
		return "", fmt.Errorf("opening a session again: initialize: %w", err)
	}
	if at.Version != "" && version != at.Version {
		return "", fmt.Errorf("opening a session again: %w: the server speaks %q, the session %q", errRefused, version, at.Version)
	}
	say := func(message string) error {
		resp, err := r.post(ctx, at, id, version, message)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxOpeningBytes))
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if resp.StatusCode >= http.StatusMultipleChoices {
			return statusError(resp.StatusCode)
		}
		return nil
	}
	if err := say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`); err != nil {
		return "", fmt.Errorf("opening a session again: initialized: %w", err)
	}
	if level := before.GetLogLevel(); len(level) > 0 {
		if err := say(`{"jsonrpc":"2.0","id":"holdfast-level","method":"logging/setLevel","params":` + string(level) + `}`); err != nil {
			return "", fmt.Errorf("opening a session again: log level: %w", err)
		}
	}
	for i, uri := range before.GetSubscriptions() {
		quoted, err := jsontext.AppendQuote(nil, uri)
		if err != nil {
			continue // it was read from JSON
		}
		if err := say(`{"jsonrpc":"2.0","id":"holdfast-subscribe-` + strconv.Itoa(i) + `","method":"resources/subscribe","params":{"uri":` + string(quoted) + `}}`); err != nil {
			return "", fmt.Errorf("opening a session again: subscription: %w", err)
		}
	}
	return id, nil
}

func (r *Reopener) post(ctx context.Context, at Target, id, version, body string) (*http.Response, error) {
	return r.send(ctx, http.MethodPost, at, id, version, body)
}

func (r *Reopener) send(ctx context.Context, verb string, at Target, id, version, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, verb, "http://"+at.Address+at.Path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range at.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Host = at.Host
	if id != "" {
		req.Header.Set("Mcp-Session-Id", id)
	}
	if version != "" {
		req.Header.Set("Mcp-Protocol-Version", version)
	}
	return r.client.Do(req)
}

const initializeID = `"holdfast-initialize"`

// initialize returns the new session's id, empty where the server keeps none, and the
// revision that the server chose.
func (r *Reopener) initialize(ctx context.Context, s *Session, at Target) (id, version string, err error) {
	resp, err := r.post(ctx, at, "", "", `{"jsonrpc":"2.0","id":`+initializeID+`,"method":"initialize","params":`+string(s.Initialize)+`}`)
	if err != nil {
		return "", "", err
	}
	answer, err := firstAnswer(resp)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", "", err
	}
	id = resp.Header.Get("Mcp-Session-Id")
	if id != "" && !ValidID(id) {
		return "", "", errors.New("the server's session id is none")
	}
	version, ok := memberText(answer.Result, "protocolVersion")
	if !ok {
		return "", "", errors.New("the answer has no result with a protocolVersion")
	}
	return id, version, nil
}

// firstAnswer reads a JSON answer, or an event stream up to the first one.
func firstAnswer(resp *http.Response) (wire.Answer, error) {
	if resp.StatusCode != http.StatusOK {
		return wire.Answer{}, statusError(resp.StatusCode)
	}
	body := io.LimitReader(resp.Body, maxOpeningBytes)
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && media == "text/event-stream" {
		return firstEvent(body)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return wire.Answer{}, err
	}
	return parseAnswer(data)
}

func firstEvent(body io.Reader) (wire.Answer, error) {
	stream := wire.NewEventStream(maxOpeningBytes)
	chunk := make([]byte, 4<<10)
	for {
		n, err := body.Read(chunk)
		events, fault := stream.Feed(chunk[:n])
		for i := range events {
			if !events[i].IsMessage() {
				continue
			}
			answer, fault := parseAnswer(events[i].Data)
			if fault != nil || answer.Kind == wire.Response {
				return answer, fault
			}
		}
		if err := errors.Join(err, fault); err != nil {
			return wire.Answer{}, err
		}
	}
}

func parseAnswer(data []byte) (wire.Answer, error) {
	answer, fault := wire.ParseAnswer(data)
	if fault != nil {
		return wire.Answer{}, errors.New("the answer is no JSON-RPC message")
	}
	return answer, nil
}

// memberText is a text member of a JSON object.
func memberText(object jsontext.Value, name string) (string, bool) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return "", false
	}
	for d.PeekKind() == '"' {
		key, err := d.ReadToken()
		if err != nil {
			return "", false
		}
		if key.String() != name {
			if err := d.SkipValue(); err != nil {
				return "", false
			}
			continue
		}
		value, err := d.ReadToken()
		return value.String(), err == nil && value.Kind() == '"'
	}
	return "", false
}

// errRefused is an endpoint's word that it will not open the session, now or later.
var errRefused = errors.New("refused")

func statusError(status int) error {
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fmt.Errorf("status %d", status)
	}
	return fmt.Errorf("%w: status %d", errRefused, status)
}

// Lost says that a session will not be opened again. Other errors are for now.
func Lost(err error) bool { return errors.Is(err, ErrUnknown) || errors.Is(err, errRefused) }

// Unreachable says that a session was not opened since the endpoint took no connection.
func Unreachable(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}
