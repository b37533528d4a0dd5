package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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
	// path of the request.
	path string
}

// message is the whole HTTP request of a shape.
func (s shape) message(host string) []byte {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	var body string
	headers := "Mcp-Method: " + s.method + "\r\n"
	switch s.method {
	case "tools/call":
		frame := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + meta + `,"name":"echo","arguments":{"text":""}}}`
		text := strings.Repeat("y", max(0, s.request-len(frame)))
		body = strings.Replace(frame, `"text":""`, `"text":"`+text+`"`, 1)
		headers += "Mcp-Name: echo\r\n"
	default:
		body = `{"jsonrpc":"2.0","id":1,"method":"` + s.method + `","params":{` + meta + `}}`
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"+
		"MCP-Protocol-Version: 2026-07-28\r\n%sX-Bench-Answer: %s\r\nContent-Length: %d\r\n\r\n%s", s.path, host, headers, s.answer, len(body), body)
}

// sample is what one round of one row measured.
type sample struct {
	calls    int
	perSec   float64
	p50, p99 time.Duration
}

// load keeps connections busy, each with one call at a time, for as long as span
// and for one call at least.
func load(ctx context.Context, address string, s shape, connections int, span time.Duration) (sample, error) {
	message := s.message(address)
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var callers sync.WaitGroup
	began := time.Now()
	end := began.Add(span)
	for range connections {
		callers.Go(func() {
			times, err := caller(ctx, address, message, end)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, times...)
			failed = errors.Join(failed, err)
		})
	}
	callers.Wait()
	elapsed := time.Since(began)
	if failed != nil {
		return sample{}, failed
	}
	slices.Sort(took)
	return sample{
		calls: len(took), perSec: float64(len(took)) / elapsed.Seconds(),
		p50: took[len(took)/2], p99: took[len(took)*99/100],
	}, nil
}

func caller(ctx context.Context, address string, message []byte, end time.Time) ([]time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close() //nolint:errcheck // only read
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	r := bufio.NewReaderSize(conn, 128<<10)
	var took []time.Duration
	for begun := time.Now(); len(took) == 0 || begun.Before(end); {
		if _, err := conn.Write(message); err != nil {
			return nil, fmt.Errorf("calling: %w", err)
		}
		if err := readAnswer(r); err != nil {
			return nil, err
		}
		now := time.Now()
		took = append(took, now.Sub(begun))
		begun = now
	}
	return took, nil
}

// readAnswer reads one good answer; any other is an error, so that no row is
// measured by how fast it fails.
func readAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	good := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	said := string(status)
	length := int64(-1)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reading an answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("content-length: ")); ok {
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return fmt.Errorf("content-length %q: %w", value, err)
			}
		}
	}
	if !good {
		rest := make([]byte, min(max(length, 0), 300))
		_, _ = io.ReadFull(r, rest)
		return fmt.Errorf("a call was answered %s%s", said, rest)
	}
	if length >= 0 {
		if _, err := io.CopyN(io.Discard, r, length); err != nil {
			return fmt.Errorf("reading an answer: %w", err)
		}
		return nil
	}
	return readChunks(r)
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
