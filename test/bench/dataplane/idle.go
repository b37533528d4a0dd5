package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// idleName is what the measurement is called; there is no throughput in it.
const idleName = "idle GET streams"

// idleRow is what open streams on which nothing happens cost a row's processes.
type idleRow struct {
	name    string
	streams int
	// kB resident before the streams were opened and while they were open.
	envoyBefore, envoyAfter, processorBefore, processorAfter int
}

// idleStreams opens streams at the rows that differ in what they keep for one, one row after the other.
func idleStreams(ctx context.Context, s *system, streams int) ([]idleRow, error) {
	var out []idleRow
	for _, r := range s.rows {
		switch r.name {
		case rowPlain, rowFloor2, rowHoldfast, rowTraced:
		default:
			continue
		}
		fmt.Fprintf(os.Stderr, "%d %s: %s\n", streams, idleName, r.name)
		one, err := idleAt(ctx, r, streams)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", idleName, r.name, err)
		}
		out = append(out, one)
	}
	return out, nil
}

// openAtOnce bounds how many streams are being opened at the same time.
const openAtOnce = 32

func idleAt(ctx context.Context, r row, streams int) (idleRow, error) {
	// What the first call of a process makes it allocate is not the streams'.
	if _, err := load(ctx, r, shapes()[0], openAtOnce, time.Millisecond); err != nil {
		return idleRow{}, err
	}
	out := idleRow{name: r.name, streams: streams, envoyBefore: residentKB(r.envoy), processorBefore: residentKB(r.processor)}
	conns := make([]net.Conn, streams)
	errs := make([]error, streams)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	var opening sync.WaitGroup
	slots := make(chan struct{}, openAtOnce)
	for i := range streams {
		slots <- struct{}{}
		opening.Go(func() {
			conns[i], errs[i] = openStream(ctx, r)
			<-slots
		})
	}
	opening.Wait()
	out.envoyAfter, out.processorAfter = residentKB(r.envoy), residentKB(r.processor)
	return out, errors.Join(errs...)
}

// openStream opens a session and its event stream, and waits for the stream's first line.
func openStream(ctx context.Context, r row) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	reader := bufio.NewReaderSize(conn, 1<<10)
	session, err := open(conn, reader, r.address, r.prefix+"/mcp")
	if err != nil {
		return conn, err
	}
	_, err = fmt.Fprintf(conn, "GET %s/mcp HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%sMcp-Session-Id: %s\r\nX-Bench-Answer: idle\r\n\r\n", r.prefix, r.address, legacyHead, session)
	if err != nil {
		return conn, fmt.Errorf("opening a stream: %w", err)
	}
	status, err := reader.ReadString('\n')
	if err != nil {
		return conn, fmt.Errorf("opening a stream: %w", err)
	}
	if !strings.HasPrefix(status, "HTTP/1.1 200") {
		return conn, fmt.Errorf("opening a stream: answered %q", status)
	}
	for line := status; line != ": \n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			return conn, fmt.Errorf("waiting for a stream to begin: %w", err)
		}
	}
	return conn, nil
}

func idleMarkdown(rows []idleRow) string {
	if len(rows) == 0 {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n### %d %s, each of a session (2025-06-18)\n\n", rows[0].streams, idleName)
	out.WriteString("| row | Envoy MiB before | with them | KiB a stream | processor MiB before | with them | KiB a stream |\n| --- " + strings.Repeat("| --- ", 6) + "|\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | %d | %d |\n", r.name, r.envoyBefore>>10, r.envoyAfter>>10, (r.envoyAfter-r.envoyBefore)/r.streams,
			r.processorBefore>>10, r.processorAfter>>10, (r.processorAfter-r.processorBefore)/r.streams)
	}
	return out.String()
}
