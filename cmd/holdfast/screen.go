package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

const (
	spinnerPeriod = 100 * time.Millisecond
	clearLine     = "\r\x1b[2K"
	stepWidth     = 22
)

// screen shows progress: a spinning line on terminals, and one line for each
// finished step everywhere. It is safe for concurrent use.
type screen struct {
	out      io.Writer
	terminal bool
	colors   bool

	mu      sync.Mutex
	step    string
	began   time.Time
	frame   int
	stop    chan struct{}
	stopped chan struct{}
}

func newScreen(env *environment) *screen {
	return &screen{out: env.Stdout, terminal: isTerminal(env.Stdout), colors: env.colors(env.Stdout)}
}

// report shows a step of the stack.
func (s *screen) report(step stack.Step) {
	switch {
	case step.Beside:
		s.beside(step)
	case step.Note != "":
		s.line("  " + step.Note)
	case !step.Done:
		s.begin(step.Name)
	default:
		s.end(step)
	}
}

func (s *screen) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step, s.began, s.frame = name, time.Now(), 0
	if !s.terminal {
		return
	}
	s.stop, s.stopped = make(chan struct{}), make(chan struct{})
	go s.spin(s.stop, s.stopped)
}

func (s *screen) spin(stop <-chan struct{}, stopped chan<- struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(spinnerPeriod)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		s.draw()
		s.mu.Unlock()
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
	}
}

// draw writes the spinning line; s.mu is held.
func (s *screen) draw() {
	if s.step == "" || !s.terminal {
		return
	}
	say(s.out, "%s%c %-*s %4.1f s", clearLine, spinnerFrame(s.frame), stepWidth, s.step, time.Since(s.began).Seconds())
	s.frame++
}

// spinnerFrame is one of the pictures that make a spinning wheel.
func spinnerFrame(n int) rune {
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	return frames[n%len(frames)]
}

func (s *screen) end(step stack.Step) {
	s.mu.Lock()
	stop, stopped := s.stop, s.stopped
	s.stop, s.stopped, s.step = nil, nil, ""
	s.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
		say(s.out, "%s", clearLine)
	}
	mark, color := "✓", "\x1b[32m"
	if step.Err != nil {
		mark, color = "✗", "\x1b[31m"
	}
	s.line(fmt.Sprintf("%s %-*s %4.1f s", s.paint(color, mark), stepWidth, step.Name, step.Took.Seconds()))
}

func (s *screen) paint(color, text string) string {
	if !s.colors {
		return text
	}
	return color + text + "\x1b[0m"
}

// line writes a whole line above the spinning one.
func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal && s.step != "" {
		say(s.out, "%s", clearLine)
	}
	say(s.out, "%s\n", text)
	s.draw()
}

// event shows what happened to a child.
func (s *screen) event(e supervise.Event) {
	switch e.Kind {
	case supervise.Stopping:
	case supervise.Stopped:
		s.line(fmt.Sprintf("  %s stopped (%s)", e.Child, e.Exit))
	case supervise.Started:
		s.line(fmt.Sprintf("  %s is running again (process %d)", e.Child, e.PID))
	case supervise.Restarted:
		s.line(fmt.Sprintf("  %s is back (process %d)", e.Child, e.PID))
	case supervise.Died:
		s.line(s.paint("\x1b[31m", fmt.Sprintf("! %s died after %.1f s: %s", e.Child, e.Exit.Uptime.Seconds(), e.Exit)) + after(e))
	case supervise.RestartFailed:
		s.line(s.paint("\x1b[31m", fmt.Sprintf("! %s could not be started again: %v", e.Child, e.Err)) + after(e))
	}
}

// after says what happens now, and what a dead child said last.
func after(e supervise.Event) string {
	text := "; it stays dead"
	if e.RestartIn > 0 {
		text = fmt.Sprintf("; starting it again in %.1f s", e.RestartIn.Seconds())
	}
	if len(e.LastWords) == 0 {
		return text + ". It said nothing."
	}
	words := make([]string, 0, len(e.LastWords))
	for _, line := range e.LastWords {
		words = append(words, printable(line))
	}
	return text + ". Its last words:\n    " + strings.Join(words, "\n    ")
}
