package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/api/admin/v1/adminv1connect"
)

const (
	// pollEvery is how often the status is asked for; never while something is timed
	// but the start.
	pollEvery = 20 * time.Millisecond
	// stopAfter is how long the control plane may take to stop.
	stopAfter = 10 * time.Second
)

// plane is a control plane in a process of its own.
type plane struct {
	cmd       *exec.Cmd
	transport *http.Transport
	admin     adminv1connect.AdminClient
	// xds is the address for Envoys, url that of the admin API.
	xds, url string
	// drained is closed when the process has closed its log.
	drained chan struct{}
}

// startPlane starts one on free loopback ports, which it learns from its log.
func startPlane(ctx context.Context, binary, config, state, envoy string) (*plane, error) {
	p := &plane{transport: &http.Transport{}, drained: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, binary, "--config", config, "--state", state, "--envoy", envoy, //nolint:gosec // the caller's choice
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--processors", "unix:///run/a.sock", "--log-format", "json")
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	type addresses struct{ XDS, Admin string }
	found := make(chan addresses, 1)
	go func() {
		defer close(p.drained)
		var all addresses
		told := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			var line struct{ Msg, XDS, Admin, Level string }
			if json.Unmarshal(lines.Bytes(), &line) != nil || line.Level == "ERROR" {
				fmt.Fprintln(os.Stderr, lines.Text())
			}
			if line.Msg == "listening" {
				all.XDS += line.XDS
				all.Admin += line.Admin
			}
			if !told && all.XDS != "" && all.Admin != "" {
				found <- all
				told = true
			}
		}
		// A line too long for the scanner must not block the process.
		_, _ = io.Copy(io.Discard, log)
	}()
	select {
	case a := <-found:
		p.xds = a.XDS
		p.url = "http://" + a.Admin
		p.admin = adminv1connect.NewAdminClient(&http.Client{Transport: p.transport}, p.url)
		return p, nil
	case <-p.drained:
		return nil, errors.Join(errors.New("the control plane ended"), p.cmd.Wait())
	}
}

// stop ends the process and waits for it.
func (p *plane) stop() error {
	p.transport.CloseIdleConnections()
	killer := time.AfterFunc(stopAfter, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.drained
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the control plane: %w", err)
	}
	return nil
}

// ready waits until it has a revision that goes out.
func (p *plane) ready(ctx context.Context) error {
	return p.poll(ctx, func(s *adminv1.StatusResponse) bool { return s.GetRollout().GetVersion() != "" })
}

// settled waits until nothing goes out any more.
func (p *plane) settled(ctx context.Context) error {
	return p.poll(ctx, func(s *adminv1.StatusResponse) bool {
		return s.GetRollout().GetPhase() == "done" && s.GetRollout().GetVersion() == s.GetRevision().GetVersion()
	})
}

func (p *plane) poll(ctx context.Context, ok func(*adminv1.StatusResponse) bool) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		s, err := p.admin.Status(ctx, &adminv1.StatusRequest{})
		if err != nil {
			return fmt.Errorf("asking for the status: %w", err)
		}
		if s.GetRefused().GetStanding() {
			return fmt.Errorf("the configuration was refused: %s", s.GetRefused().GetError())
		}
		if ok(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the control plane: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (p *plane) apply(ctx context.Context, n int) error {
	_, err := p.admin.Apply(ctx, &adminv1.ApplyRequest{Documents: changeDocuments(n), Reason: fmt.Sprintf("change %d", n)})
	if err != nil {
		return fmt.Errorf("applying change %d: %w", n, err)
	}
	return nil
}

// peakKB is the most memory that the process has had.
func (p *plane) peakKB() (int, error) { return p.memoryKB("VmHWM") }

// memoryKB is a line of proc_pid_status(5), such as VmRSS.
func (p *plane) memoryKB(field string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		var kb int
		if n, _ := fmt.Sscanf(line, field+": %d kB", &kb); n == 1 {
			return kb, nil
		}
	}
	return 0, errors.New("reading the memory: no " + field)
}

// ticksPerSecond is the unit of times in proc_pid_stat(5): USER_HZ, which is 100 on all that
// Go runs on.
const ticksPerSecond = 100

// cpu is the time that the process has run on all cores.
func (p *plane) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time: %w", err)
	}
	// The second field is the name, in parentheses; utime and stime are the 14th and 15th.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("reading the CPU time: too few fields")
	}
	user, err := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err, err2); err != nil {
		return 0, fmt.Errorf("reading the CPU time: %w", err)
	}
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}
