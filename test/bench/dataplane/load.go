package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// shape is one kind of call.
type shape struct {
	name string
	// request bytes in the body, and the answer that the backend is asked for.
	request int
	answer  string
	method  string
	// path of the request, behind the row's prefix.
	path string
	// legacy: a call of a session (2025-06-18), which each caller opens first.
	legacy bool
	// remembered: a good answer says that it comes from memory.
	remembered bool
}

const (
	modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	legacyHead = "MCP-Protocol-Version: 2025-06-18\r\n"
)

// message is the whole HTTP request of a shape; session is the caller's, of a legacy shape.
func (s shape) message(host, prefix, session string) []byte {
	meta, headers := modernMeta+",", "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: "+s.method+"\r\n"
	if s.legacy {
		meta, headers = "", legacyHead+"Mcp-Session-Id: "+session+"\r\n"
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"` + s.method + `","params":{` + strings.TrimSuffix(meta, ",") + `}}`
	if s.method == "tools/call" {
		frame := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + meta + `"name":"echo","arguments":{"text":""}}}`
		text := strings.Repeat("y", max(0, s.request-len(frame)))
		body = strings.Replace(frame, `"text":""`, `"text":"`+text+`"`, 1)
		if !s.legacy {
			headers += "Mcp-Name: echo\r\n"
		}
	}
	return post(host, prefix+s.path, s.answer, headers, body)
}

func post(host, path, answer, headers, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"%sX-Bench-Answer: %s\r\nContent-Length: %d\r\n\r\n%s", path, host, headers, answer, len(body), body)
}

// open opens a session on a connection and returns its id.
func open(conn net.Conn, r *bufio.Reader, host, path string) (string, error) {
	if _, err := conn.Write(post(host, path, "initialize", "", initialize)); err != nil {
		return "", fmt.Errorf("opening a session: %w", err)
	}
	answer, err := readAnswer(r)
	if err != nil {
		return "", fmt.Errorf("opening a session: %w", err)
	}
	if answer.session == "" {
		return "", fmt.Errorf("opening a session: answered %s, without an id", answer.status)
	}
	return answer.session, nil
}

// sample is what one round of one row measured.
type sample struct {
	// calls that were answered, and those that got no good answer.
	calls, failed int
	// complaint is what one of the failed ones was told.
	complaint string
	perSec    float64
	p50, p99  time.Duration
}

// maxFailed is the share of calls that may fail on a busy machine. More, and the row says so, since it is
// measured by how fast it fails.
const maxFailed = 0.01

// failing says whether too many calls have failed.
func (s sample) failing() bool { return float64(s.failed) > maxFailed*float64(s.calls) }

// load keeps connections busy, each with one call at a time, for as long as span
// and for one call at least.
func load(ctx context.Context, r row, s shape, connections int, span time.Duration) (sample, error) {
	var mu sync.Mutex
	var took []time.Duration
	out := sample{}
	var callers sync.WaitGroup
	began := time.Now()
	end := began.Add(span)
	for range connections {
		callers.Go(func() {
			c := &caller{row: r, shape: s}
			c.run(ctx, end)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, c.took...)
			if out.failed += c.failed; c.complaint != "" {
				out.complaint = c.complaint
			}
		})
	}
	callers.Wait()
	elapsed := time.Since(began)
	if err := ctx.Err(); err != nil {
		return sample{}, fmt.Errorf("calling: %w", err)
	}
	if len(took) == 0 {
		return sample{}, fmt.Errorf("none of %d calls was answered, one got %s", out.failed, out.complaint)
	}
	slices.Sort(took)
	out.calls, out.perSec = len(took), float64(len(took))/elapsed.Seconds()
	out.p50, out.p99 = took[len(took)/2], took[len(took)*99/100]
	return out, nil
}

// caller is one connection. Its fields are what became of its calls.
type caller struct {
	row       row
	shape     shape
	took      []time.Duration
	failed    int
	complaint string
}

// maxFailures end a caller whose calls do nothing else.
const maxFailures = 1000

// run calls until the time is up, on one connection after the other.
func (c *caller) run(ctx context.Context, end time.Time) {
	for c.more(end) && ctx.Err() == nil {
		if err := c.connection(ctx, end); err != nil {
			c.failed++
			c.complaint = err.Error()
		}
	}
}

// more says whether there is another call to make: one has to be answered.
func (c *caller) more(end time.Time) bool {
	return c.failed < maxFailures && (len(c.took) == 0 || time.Now().Before(end))
}

func (c *caller) connection(ctx context.Context, end time.Time) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.row.address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close() //nolint:errcheck // only read
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r := bufio.NewReaderSize(conn, 128<<10)
	session := ""
	if c.shape.legacy {
		if session, err = open(conn, r, c.row.address, c.row.prefix+c.shape.path); err != nil {
			return err
		}
	}
	message := c.shape.message(c.row.address, c.row.prefix, session)
	for begun := time.Now(); c.more(end); {
		if _, err := conn.Write(message); err != nil {
			return fmt.Errorf("calling: %w", err)
		}
		answer, err := readAnswer(r)
		if err != nil {
			return err
		}
		now := time.Now()
		if answer.good && (!c.shape.remembered || answer.stale) {
			c.took = append(c.took, now.Sub(begun))
		} else {
			c.failed++
			c.complaint = answer.status
		}
		begun = now
	}
	return nil
}

// answer is what is looked at of an answer.
type answer struct {
	good bool
	// status is the status line and, of one that is not good, the beginning of the body.
	status  string
	session string
	// stale: it says that it comes from memory.
	stale bool
}

// good is the status of a good answer, which is one of another kind where it is complained of.
const good = "HTTP/1.1 200, but not the answer that was asked for"

// readAnswer reads one answer.
func readAnswer(r *bufio.Reader) (answer, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return answer{}, fmt.Errorf("reading an answer: %w", err)
	}
	out := answer{good: bytes.HasPrefix(line, []byte("HTTP/1.1 200")), status: good}
	if !out.good {
		out.status = string(line)
	}
	length := int64(-1)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return answer{}, fmt.Errorf("reading an answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("content-length: ")); ok {
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return answer{}, fmt.Errorf("content-length %q: %w", value, err)
			}
		}
		if string(line) == "x-holdfast-degraded: stale" {
			out.stale = true
		}
		if value, ok := bytes.CutPrefix(line, []byte("mcp-session-id: ")); ok {
			out.session = string(value)
		}
	}
	if length < 0 {
		return out, readChunks(r)
	}
	if !out.good {
		start := make([]byte, min(length, 300))
		if _, err := io.ReadFull(r, start); err != nil {
			return answer{}, fmt.Errorf("reading an answer: %w", err)
		}
		out.status += string(start)
		length -= int64(len(start))
	}
	if _, err := io.CopyN(io.Discard, r, length); err != nil {
		return answer{}, fmt.Errorf("reading an answer: %w", err)
	}
	return out, nil
}

func readChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reading a chunk: %w", err)
		}
		size, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 64)
		if err != nil {
			return fmt.Errorf("chunk of %q: %w", line, err)
		}
		if _, err := io.CopyN(io.Discard, r, size+2); err != nil {
			return fmt.Errorf("reading a chunk: %w", err)
		}
		if size == 0 {
			return nil
		}
	}
}
