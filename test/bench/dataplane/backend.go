package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// backend is an MCP server that costs next to nothing: it takes requests apart
// just enough to know where they end, and gives the same answer to every call. The
// id of every request is 1.
type backend struct {
	listener net.Listener
	// answers by the last path segment of the request: "/mcp" calls, "/list" lists.
	answers map[string][]byte
	serving sync.WaitGroup
	mu      sync.Mutex
	// conns are open; nil once the backend is closed.
	conns map[net.Conn]struct{}
}

// Answer texts. textOf pads a tool's text so that the body has about that many bytes.
func textOf(size int) []byte {
	const frame = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":""}]}}`
	text := strings.Repeat("x", max(0, size-len(frame)))
	return []byte(`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`)
}

// progressEvents is an event stream with n notifications before the answer.
func progressEvents(n int) []byte {
	var out bytes.Buffer
	for i := range n {
		fmt.Fprintf(&out, "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":%d}}\n\n", i)
	}
	fmt.Fprintf(&out, "event: message\ndata: %s\n\n", textOf(300))
	return out.Bytes()
}

// listOf is a tools/list answer with n tools.
func listOf(n int) []byte {
	var out bytes.Buffer
	out.WriteString(`{"jsonrpc":"2.0","id":1,"result":{"tools":[`)
	for i := range n {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `{"name":"tool_%d","description":"does one thing","inputSchema":{"type":"object","properties":{"id":{"type":"string"}}}}`, i)
	}
	out.WriteString(`]}}`)
	return out.Bytes()
}

func response(media string, body []byte) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n", media, len(body)), body...)
}

// startBackend listens on a free port of loopback.
func startBackend(ctx context.Context) (*backend, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening as the MCP server: %w", err)
	}
	b := &backend{listener: listener, conns: map[net.Conn]struct{}{}, answers: map[string][]byte{
		"health": response("text/plain", []byte("ok")),
		"list":   response("application/json", listOf(20)),
		"sse100": response("text/event-stream", progressEvents(100)),
	}}
	const opened = `{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}}`
	b.answers["initialize"] = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: bench-session\r\ncontent-length: %d\r\n\r\n%s", len(opened), opened)
	// A stream that has begun and stays open until the caller goes.
	b.answers["idle"] = []byte("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n4\r\n: \n\n\r\n")
	mismatch := `{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"headers differ from the body"}}`
	b.answers["mismatch"] = fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", len(mismatch), mismatch)
	for _, size := range []int{300, 10 << 10, 64 << 10, 1 << 20} {
		b.answers[strconv.Itoa(size)] = response("application/json", textOf(size))
	}
	b.serving.Go(b.accept)
	return b, nil
}

func (b *backend) address() string { return b.listener.Addr().String() }

// close takes no more connections and ends those that are open.
func (b *backend) close() error {
	b.mu.Lock()
	for conn := range b.conns {
		_ = conn.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	if err := b.listener.Close(); err != nil {
		return fmt.Errorf("closing the MCP server: %w", err)
	}
	return nil
}

// keep notes a connection; false: the backend is closed.
func (b *backend) keep(conn net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		return false
	}
	b.conns[conn] = struct{}{}
	return true
}

func (b *backend) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.serving.Go(func() {
			defer conn.Close() //nolint:errcheck // a benchmark's peer
			if !b.keep(conn) {
				return
			}
			// The end of a connection is the client's choice.
			_ = b.serve(conn)
			b.mu.Lock()
			delete(b.conns, conn)
			b.mu.Unlock()
		})
	}
}

var errRequest = errors.New("not a request that the backend understands")

// mcpHeaders are the headers that a server has to compare with the body.
type mcpHeaders struct{ method, name string }

// compare reads a body of a caller that is not the load generator, and says what it is
// answered with.
func (h mcpHeaders) compare(r io.Reader, length int) (string, error) {
	body := make([]byte, min(length, 64<<10))
	if _, err := io.ReadFull(r, body); err != nil {
		return "", err //nolint:wrapcheck // only ends the connection
	}
	named := h.name == "" || bytes.Contains(body, []byte(`"name":"`+h.name+`"`))
	if named && bytes.Contains(body, []byte(`"method":"`+h.method+`"`)) {
		return "300", nil
	}
	return "mismatch", nil
}

// serve answers one connection. What a request wants to be answered with is its
// header x-bench-answer.
func (b *backend) serve(conn net.Conn) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		wanted, length := "", 0
		headers := mcpHeaders{}
		for first := true; ; first = false {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err //nolint:wrapcheck // only ends the connection
			}
			line = bytes.TrimRight(line, "\r\n")
			if first {
				if bytes.Contains(line, []byte(" /health ")) {
					wanted = "health"
				}
				continue
			}
			if len(line) == 0 {
				break
			}
			name, value, _ := bytes.Cut(line, []byte(": "))
			switch string(bytes.ToLower(name)) {
			case "content-length":
				if length, err = strconv.Atoi(string(value)); err != nil {
					return errRequest
				}
			case "x-bench-answer":
				wanted = string(value)
			case "mcp-method":
				headers.method = string(value)
			case "mcp-name":
				headers.name = string(value)
			}
		}
		if wanted == "" {
			var err error
			if wanted, err = headers.compare(r, length); err != nil {
				return err
			}
			length = 0
		}
		if _, err := io.CopyN(io.Discard, r, int64(length)); err != nil {
			return err //nolint:wrapcheck // only ends the connection
		}
		answer, ok := b.answers[wanted]
		if !ok {
			return errRequest
		}
		if _, err := conn.Write(answer); err != nil {
			return err //nolint:wrapcheck // only ends the connection
		}
	}
}
