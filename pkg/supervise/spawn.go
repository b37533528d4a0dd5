package supervise

import (
	"os/exec"
	"runtime"
)

// spawner starts processes from one operating-system thread that lives as long
// as the Supervisor. The kernel sends the parent-death signal when the *thread*
// that started a child ends, so a child started from whatever thread the Go
// scheduler had at hand could be killed at any time.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.run()
	return s
}

// run never unlocks its thread: when it returns, the runtime ends the thread, and
// with it any child that should be left.
func (s *spawner) run() {
	runtime.LockOSThread()
	for {
		select {
		case r := <-s.requests:
			r.result <- r.cmd.Start()
		case <-s.done:
			return
		}
	}
}

// start is cmd.Start on the spawner's thread; ErrClosed after close.
func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, result: make(chan error, 1)}
	select {
	case s.requests <- r:
		return <-r.result
	case <-s.done:
		return ErrClosed
	}
}

// close may be called once.
func (s *spawner) close() { close(s.done) }
