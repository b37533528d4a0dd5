package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// visible is what a terminal shows of text: each cleared line is gone.
func visible(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if at := strings.LastIndex(line, clearLine); at >= 0 {
			lines[i] = line[at+len(clearLine):]
		}
	}
	return strings.Join(lines, "\n")
}

func TestScreen(t *testing.T) {
	const want = `  port 10000 is busy: using 10010
✓ control plane           1.5 s
✗ Envoy                   0.0 s
! xds died after 2.0 s: killed by SIGKILL; starting it again in 0.5 s. Its last words:
    oh?[2J no
  xds is back (process 7)
! orders died after 0.0 s: exit status 3; it stays dead. It said nothing.
  orders is running again (process 8)
! xds could not be started again: late; starting it again in 1.0 s. It said nothing.
  xds stopped (exit status 0)
`
	for name, terminal := range map[string]bool{"terminal": true, "file": false} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			s := &screen{out: &out, terminal: terminal}
			s.report(stack.Step{Name: "control plane"})
			s.report(stack.Step{Note: "port 10000 is busy: using 10010"})
			s.report(stack.Step{Name: "control plane", Done: true, Took: 1500 * time.Millisecond})
			s.report(stack.Step{Name: "Envoy", Done: true, Err: errors.New("x")})
			s.event(supervise.Event{
				Kind: supervise.Died, Child: "xds", Exit: supervise.Exit{Ended: true, Code: -1, Signal: "SIGKILL", Uptime: 2 * time.Second},
				LastWords: []string{"oh\x1b[2J no"}, RestartIn: 500 * time.Millisecond,
			})
			s.event(supervise.Event{Kind: supervise.Restarted, Child: "xds", PID: 7})
			s.event(supervise.Event{Kind: supervise.Died, Child: "orders", Exit: supervise.Exit{Ended: true, Code: 3}})
			s.event(supervise.Event{Kind: supervise.Started, Child: "orders", PID: 8})
			s.event(supervise.Event{Kind: supervise.RestartFailed, Child: "xds", Err: errors.New("late"), RestartIn: time.Second})
			s.event(supervise.Event{Kind: supervise.Stopping, Child: "xds"})
			s.event(supervise.Event{Kind: supervise.Stopped, Child: "xds", Exit: supervise.Exit{Ended: true}})
			if got := visible(out.String()); got != want {
				t.Errorf("it shows\n%s, want\n%s", got, want)
			}
			if escapes := regexp.MustCompile("\x1b").MatchString(out.String()); escapes != terminal {
				t.Errorf("escape sequences: %v", escapes)
			}
		})
	}
}
