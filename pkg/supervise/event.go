package supervise

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind of an Event.
type Kind string

// Kinds of events.
const (
	// Started: it is ready again after a Start that was not its first one.
	Started Kind = "started"
	// Died: the child ended and nobody had asked it to.
	Died Kind = "died"
	// Restarted: a child that died is ready again.
	Restarted Kind = "restarted"
	// RestartFailed: it was started again but did not get ready.
	RestartFailed Kind = "restart failed"
	// Stopping: it is being asked to stop.
	Stopping Kind = "stopping"
	// Stopped: it ended because it was asked or killed on purpose.
	Stopped Kind = "stopped"
)

// Event is something that happened to a child after its start.
type Event struct {
	Time  time.Time
	Child string
	Kind  Kind
	PID   int
	// Exit of Died and Stopped; the zero value otherwise.
	Exit Exit
	// LastWords are the last lines of its output, for Died and RestartFailed.
	LastWords []string
	// RestartIn is the wait before the next start; 0: there is none.
	RestartIn time.Duration
	// Err of RestartFailed.
	Err error
}

// Exit is how a process ended. The zero value is one that has not.
type Exit struct {
	Ended bool
	// Code is the exit status; -1 where a signal ended the process.
	Code int
	// Signal that ended it, such as "SIGKILL"; empty: none.
	Signal string
	// Uptime from its start.
	Uptime time.Duration
}

// String says it as a person would: "exit status 2", "killed by SIGSEGV".
func (e Exit) String() string {
	switch {
	case !e.Ended:
		return ""
	case e.Signal != "":
		return "killed by " + e.Signal
	default:
		return fmt.Sprintf("exit status %d", e.Code)
	}
}

func exitOf(state *os.ProcessState, uptime time.Duration) Exit {
	e := Exit{Ended: true, Code: -1, Uptime: uptime}
	if state == nil {
		return e
	}
	e.Code = state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = unix.SignalName(status.Signal())
	}
	return e
}
