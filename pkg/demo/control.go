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
// replaces them, both as JSON. PUT /faults?while=connected takes them back when its caller has gone,
// however that ended, unless somebody has replaced them by then.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { writeFaults(w, s.Faults()) })
	mux.HandleFunc("PUT /faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, maxControlBody), &f, json.RejectUnknownMembers(true)); err != nil {
			http.Error(w, "reading the faults: "+err.Error(), http.StatusBadRequest)
			return
		}
		version, err := s.faults.set(f)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeFaults(w, s.Faults())
		if r.URL.Query().Get("while") == "connected" {
			defer s.faults.takeBack(version)
			control := http.NewResponseController(w)
			// The server's bound on reading a request would end the wait.
			if control.SetReadDeadline(time.Time{}) == nil && control.Flush() == nil {
				<-r.Context().Done()
			}
		}
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
func (s *Server) SetFaults(f Faults) error {
	_, err := s.faults.set(f)
	return err
}

// controlTimeout bounds one request to a control endpoint.
const controlTimeout = 5 * time.Second

// PutFaults puts f in force at the server whose control endpoint is at address:
// unix:///path or host:port.
func PutFaults(ctx context.Context, address string, f Faults) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	end, err := putFaults(ctx, address, "", f)
	if err == nil {
		end()
	}
	return err
}

// HoldFaults is PutFaults until release is called or the process ends, in whatever way.
func HoldFaults(ctx context.Context, address string, f Faults) (release func(), err error) {
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end, err := putFaults(held, address, "while=connected", f)
	if err != nil {
		cancel()
		return nil, err
	}
	return func() {
		cancel()
		end()
	}, nil
}

// putFaults leaves the answer open for end.
func putFaults(ctx context.Context, address, query string, f Faults) (end func(), err error) {
	body, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encoding the faults: %w", err)
	}
	network, target := SplitAddress(address)
	transport := &http.Transport{
		DisableKeepAlives: true, ResponseHeaderTimeout: controlTimeout,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: controlTimeout}).DialContext(ctx, network, target)
		},
	}
	where := url.URL{Scheme: "http", Host: "control", Path: "/faults", RawQuery: query}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, where.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("setting faults: %w", err)
	}
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // by end
	if err != nil {
		return nil, fmt.Errorf("setting faults at %s: %w", address, err)
	}
	end = func() {
		_ = resp.Body.Close() // only read
		transport.CloseIdleConnections()
	}
	if resp.StatusCode != http.StatusOK {
		defer end()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what can be read is good enough
		return nil, fmt.Errorf("setting faults at %s: status %d: %s", address, resp.StatusCode, bytes.TrimSpace(text))
	}
	return end, nil
}

// SplitAddress turns unix:///path or host:port into a network and an address for
// package net.
func SplitAddress(address string) (network, target string) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return "unix", path
	}
	return "tcp", address
}
