package supervise

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// drainOutput bounds the wait for the output of descendants that still hold the
// pipe after the child itself has ended.
const drainOutput = time.Second

// process is one run of a child. Signals go only to a process that has not been
// reaped, so a recycled process id is never hit.
type process struct {
	cmd     *exec.Cmd
	pid     int
	started time.Time

	mu     sync.Mutex
	reaped bool

	// exited is closed after exit has been set.
	exited chan struct{}
	exit   Exit
}

// startProcess runs spec with its output going to log.
func startProcess(s *spawner, spec Spec, log *childLog) (*process, error) {
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:gosec,noctx // the caller's program; ended by signals, not by a context
	cmd.Env, cmd.Dir = spec.Env, spec.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = drainOutput
	cmd.SysProcAttr = childAttributes()
	if err := s.start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, started: time.Now(), exited: make(chan struct{})}
	go p.wait()
	return p, nil
}

// wait reaps the process. Its end is awaited first without reaping it: as long as
// it is a zombie its id, which is also its group's, belongs to nobody else, so
// that what is left of the group can be killed.
func (p *process) wait() {
	defer close(p.exited)
	awaitExit(p.pid)
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	_ = p.cmd.Wait() // the state says how it ended; a broken pipe is no news
	p.reaped = true
	p.exit = exitOf(p.cmd.ProcessState, time.Since(p.started))
}

// signal sends sig to the process, or with group to its whole group.
// os.ErrProcessDone where it has ended.
func (p *process) signal(sig syscall.Signal, group bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	target := p.pid
	if group {
		target = -p.pid
	}
	if err := syscall.Kill(target, sig); err != nil {
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return fmt.Errorf("signalling process %d: %w", p.pid, err)
	}
	return nil
}

// stop asks with SIGTERM, waits for grace or until the given channel closes, and
// kills the group. It returns when the process is reaped.
func (p *process) stop(grace time.Duration, hurry <-chan struct{}) {
	_ = p.signal(syscall.SIGTERM, false)
	// A stopped process sees its SIGTERM only when it goes on.
	_ = p.signal(syscall.SIGCONT, true)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
		return
	case <-timer.C:
	case <-hurry:
	}
	p.kill()
}

// kill ends the whole group at once and returns when the process is reaped.
func (p *process) kill() {
	_ = p.signal(syscall.SIGKILL, true)
	<-p.exited
}
