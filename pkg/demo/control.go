package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// maxControlBody bounds what the control endpoint reads, in bytes.
const maxControlBody = 64 << 10

// Control serves the faults in force: GET /faults returns them, PUT /faults
// replaces them, both as JSON.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeFaults(w, s.Faults()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxControlBody), &f, json.RejectUnknownMembers(true)); err != nil {
			http.Error(w, "reading the faults: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := s.SetFaults(f); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeFaults(w, s.Faults())
	})
	return mux
}

func writeFaults(w http.ResponseWriter, f Faults) {
	body, err := json.Marshal(f)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // whoever asked may be gone
}

// Faults returns the faults in force.
func (s *Server) Faults() Faults { return s.faults.current() }

// SetFaults validates f and puts it in force.
func (s *Server) SetFaults(f Faults) error { return s.faults.set(f) }

// controlTimeout bounds one request to a control endpoint.
const controlTimeout = 5 * time.Second

// PutFaults puts f in force at the server whose control endpoint is at address:
// unix:///path or host:port.
func PutFaults(ctx context.Context, address string, f Faults) error {
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encoding the faults: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	network, target := SplitAddress(address)
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, target)
		},
	}
	defer transport.CloseIdleConnections()
	where := url.URL{Scheme: "http", Host: "control", Path: "/faults"}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, where.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("setting faults: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("setting faults at %s: %w", address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what can be read is good enough
		return fmt.Errorf("setting faults at %s: status %d: %s", address, resp.StatusCode, bytes.TrimSpace(text))
	}
	return nil
}

// SplitAddress turns unix:///path or host:port into a network and an address for
// package net.
func SplitAddress(address string) (network, target string) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return "unix", path
	}
	return "tcp", address
}
