package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/names"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// startStages starts what the addresses have been placed for, what is needed
// first at the front.
func (s *Stack) startStages(ctx context.Context) error {
	if len(s.places) > 0 {
		if err := s.step("demo servers", func() error { return s.startDemo(ctx) }); err != nil {
			return err
		}
	}
	stages := []struct {
		name string
		do   func(context.Context) error
	}{
		{"control plane", s.startXDS},
		{"external processors", s.startProcessors},
		{"Envoy", s.startEnvoy},
		{"first answers", s.awaitAnswers},
	}
	for _, stage := range stages {
		if err := s.step(stage.name, func() error { return stage.do(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) startDemo(ctx context.Context) error {
	dir := filepath.Join(s.opts.State, "journals")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the journal folder: %w", err)
	}
	var specs []supervise.Spec
	for _, place := range s.places {
		o := s.demoOptions(place)
		// A journal is of one run.
		if err := os.Remove(o.Journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an old journal: %w", err)
		}
		s.ports.Release(o.Listen)
		specs = append(specs, DemoServer(s.opts.Programs.Holdfast, o))
	}
	return s.supervisor.Start(ctx, specs...)
}

func (s *Stack) startXDS(ctx context.Context) error {
	key, err := config.DirKey(s.opts.Config)
	if err != nil {
		return err //nolint:wrapcheck // says which directory
	}
	o := XDSOptions{
		Config: s.opts.Config, Listen: s.info.XDS, Admin: s.info.XDSAdmin,
		State: filepath.Join(s.opts.State, "xds", key), Processors: s.info.Processors, Traces: s.otlp(), Remap: s.remap,
	}
	if s.opts.CheckSnapshots {
		o.Envoy = s.opts.Programs.Envoy
	}
	s.ports.Release(o.Listen, o.Admin)
	return s.supervisor.Start(ctx, XDS(s.opts.Programs.XDS, o))
}

func (s *Stack) startProcessors(ctx context.Context) error {
	var specs []supervise.Spec
	args := []string{"--procs", strconv.Itoa(s.opts.ProcessorCores)}
	if s.opts.Redis != "" {
		args = append(args, "--redis", s.opts.Redis)
	}
	for i, listen := range s.info.Processors {
		name := ExtprocName(i + 1)
		s.ports.Release(s.info.ProcessorHTTP[i])
		specs = append(specs, Extproc(s.opts.Programs.Extproc, ExtprocOptions{
			Name: name, Listen: listen, XDS: s.info.XDS, HTTP: s.info.ProcessorHTTP[i],
			State: filepath.Join(s.opts.State, name), Region: s.opts.Region, Args: args,
		}))
	}
	return s.supervisor.Start(ctx, specs...)
}

func (s *Stack) startEnvoy(ctx context.Context) error {
	edits := Edits{Addresses: map[string]string{}, Region: s.opts.Region}
	for _, preferred := range []string{DefaultXDS, DefaultEnvoyAdmin} {
		if to, ok := s.info.Moved[preferred]; ok {
			edits.Addresses[preferred] = to
		}
	}
	bootstrap, err := placeBootstrap(s.opts.Bootstrap, s.opts.State, edits)
	if err != nil {
		return err
	}
	s.ports.Release(s.info.EnvoyAdmin, s.info.Gateway)
	return s.supervisor.Start(ctx, Envoy(s.opts.Programs.Envoy, EnvoyOptions{
		Bootstrap: bootstrap, Admin: s.info.EnvoyAdmin, Listener: s.info.Gateway, Concurrency: s.opts.EnvoyConcurrency,
	}))
}

const (
	answerWithin  = 10 * time.Second
	answerRetry   = 50 * time.Millisecond
	answerTimeout = 3 * time.Second
	maxAnswer     = 4 << 20
)

// awaitAnswers asks every endpoint for its tools until a server has answered. An
// endpoint whose servers are down is only noted: Holdfast itself is up.
func (s *Stack) awaitAnswers(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for _, name := range sortedKeys(s.info.Endpoints) {
		var last error
		for {
			last = askTools(within, s.info.Endpoints[name])
			if last == nil {
				break
			}
			timer := time.NewTimer(answerRetry)
			select {
			case <-within.Done():
			case <-timer.C:
				continue
			}
			timer.Stop()
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", s.info.Endpoints[name], ctx.Err())
		}
		if last != nil {
			s.report(Step{Note: fmt.Sprintf("no server has answered at %s yet: %v", s.info.Endpoints[name], last)})
		}
	}
	return nil
}

// askTools sends the smallest question that goes the whole way to a server.
func askTools(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if source := resp.Header.Get(names.HeaderDegraded); source != "" {
		return errors.New("the answer is degraded, its source is " + strconv.Quote(source))
	}
	// A 4xx of a server that wants a session is an answer of that server.
	if resp.StatusCode >= http.StatusInternalServerError || resp.Header.Get(names.HeaderRegion) == "" {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
