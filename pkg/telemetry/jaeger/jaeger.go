// Package jaeger reads traces by the query API of a Jaeger (/api/traces), for people
// without its web page and for tests.
package jaeger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 32 << 20
	// askTimeout bounds one question.
	askTimeout = 10 * time.Second
	// lookback is how far back Latest looks.
	lookback = 24 * time.Hour
)

// ErrNotFound says that Jaeger has no such trace (yet: spans arrive seconds after they end).
var ErrNotFound = errors.New("no such trace")

// Trace is all spans with one trace id.
type Trace struct {
	// ID in hexadecimal digits.
	ID string
	// Spans in order of their start.
	Spans []Span
}

// Span is one span as Jaeger tells it.
type Span struct {
	// ID, and Parent where there is one, in hexadecimal digits. The parent need not be in the trace.
	ID, Parent string
	// Service is service.name of whoever sent it.
	Service, Name string
	Start         time.Time
	Duration      time.Duration
	// Tags are the attributes as text; numbers as they were written.
	Tags map[string]string
	// Links are spans, of this or other traces, that it names besides its parent.
	Links []Link
}

// Link names a span.
type Link struct{ TraceID, SpanID string }

// Failed says that the span's status is an error.
func (s *Span) Failed() bool { return s.Tags["error"] == "true" }

// Client asks one Jaeger. The zero value is not ready: URL is required.
type Client struct {
	// URL of the query API, such as http://127.0.0.1:16686.
	URL string
	// HTTP defaults to http.DefaultClient.
	HTTP *http.Client
}

// Trace returns the trace of an id; ErrNotFound where there is none.
func (c *Client) Trace(ctx context.Context, id string) (*Trace, error) {
	traces, err := c.ask(ctx, "/api/traces/"+url.PathEscape(id))
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, ErrNotFound
	}
	return traces[0], nil
}

// Latest returns the newest trace, of the last day, in which a service has a span with all
// these tags; ErrNotFound where there is none. limit bounds how many are looked through.
func (c *Client) Latest(ctx context.Context, service string, tags map[string]string, limit int) (*Trace, error) {
	query := url.Values{"service": {service}, "limit": {strconv.Itoa(limit)}, "lookback": {strconv.Itoa(int(lookback.Hours())) + "h"}}
	if len(tags) > 0 {
		encoded, err := json.Marshal(tags, json.Deterministic(true))
		if err != nil {
			return nil, fmt.Errorf("asking Jaeger: %w", err)
		}
		query.Set("tags", string(encoded))
	}
	traces, err := c.ask(ctx, "/api/traces?"+query.Encode())
	if err != nil {
		return nil, err
	}
	if len(traces) == 0 {
		return nil, ErrNotFound
	}
	return slices.MaxFunc(traces, func(a, b *Trace) int { return a.Spans[0].Start.Compare(b.Spans[0].Start) }), nil
}

// The shapes of the API (jaeger model/json).
type answer struct {
	Data   []traceJSON `json:"data"`
	Errors []struct {
		Code int    `json:"code"`
		Msg  string `json:"msg"`
	} `json:"errors"`
}

type traceJSON struct {
	TraceID   string     `json:"traceID"`
	Spans     []spanJSON `json:"spans"`
	Processes map[string]struct {
		ServiceName string `json:"serviceName"`
	} `json:"processes"`
}

type spanJSON struct {
	SpanID        string `json:"spanID"`
	OperationName string `json:"operationName"`
	References    []struct {
		RefType string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
	// StartTime and Duration in microseconds.
	StartTime int64 `json:"startTime"`
	Duration  int64 `json:"duration"`
	Tags      []struct {
		Key   string         `json:"key"`
		Value jsontext.Value `json:"value"`
	} `json:"tags"`
	ProcessID string `json:"processID"`
}

func (c *Client) ask(ctx context.Context, path string) ([]*Trace, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking Jaeger: %w", err)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		// The question itself is nothing that people have asked.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("asking Jaeger: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("asking Jaeger: %w", err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil, ErrNotFound
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("reading Jaeger's answer, status %d: %w", resp.StatusCode, err)
	}
	if len(a.Errors) > 0 {
		return nil, fmt.Errorf("jaeger says: %s", a.Errors[0].Msg)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking Jaeger: status %d", resp.StatusCode)
	}
	var out []*Trace
	for i := range a.Data {
		if len(a.Data[i].Spans) > 0 {
			out = append(out, a.Data[i].trace())
		}
	}
	return out, nil
}

func (t *traceJSON) trace() *Trace {
	out := &Trace{ID: t.TraceID}
	for i := range t.Spans {
		s := &t.Spans[i]
		span := Span{
			ID: s.SpanID, Service: t.Processes[s.ProcessID].ServiceName, Name: s.OperationName,
			Start: time.UnixMicro(s.StartTime), Duration: time.Duration(s.Duration) * time.Microsecond, Tags: make(map[string]string, len(s.Tags)),
		}
		for _, tag := range s.Tags {
			span.Tags[tag.Key] = text(tag.Value)
		}
		for _, r := range s.References {
			if r.RefType == "CHILD_OF" && r.TraceID == t.TraceID && span.Parent == "" {
				span.Parent = r.SpanID
				continue
			}
			span.Links = append(span.Links, Link{TraceID: r.TraceID, SpanID: r.SpanID})
		}
		out.Spans = append(out.Spans, span)
	}
	slices.SortStableFunc(out.Spans, func(a, b Span) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) })
	return out
}

func text(v jsontext.Value) string {
	if v.Kind() == '"' {
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	}
	return string(v)
}
