package supervise

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// childAttributes: a process group of its own, so that a Ctrl-C in the terminal
// reaches the supervisor alone, and death with the supervisor.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit returns when the child pid has ended, and leaves it to be reaped
// (waitid(2), WNOWAIT).
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
