package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sys/unix"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// RunInfo describes a running stack to other programs: where everything is.
type RunInfo struct {
	// PID of the supervisor.
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Version string    `json:"version"`
	// Config is the folder that the control plane watches.
	Config string `json:"config"`
	// Endpoints are the MCP endpoints' URLs by the name of their MCPRoute.
	Endpoints map[string]string `json:"endpoints"`
	// Gateway, EnvoyAdmin, XDS and XDSAdmin are host:port.
	Gateway    string `json:"gateway"`
	EnvoyAdmin string `json:"envoyAdmin"`
	XDS        string `json:"xds"`
	XDSAdmin   string `json:"xdsAdmin"`
	// Processors are unix:///path, ProcessorHTTP host:port, in the same order.
	Processors    []string `json:"processors"`
	ProcessorHTTP []string `json:"processorHTTP"`
	// Demo servers by name.
	Demo map[string]DemoInfo `json:"demo,omitzero"`
	// Tracing is where traces are; nil: nowhere.
	Tracing *TracingInfo `json:"tracing,omitzero"`
	// Redis is host:port of the one that the processors share; empty: none.
	Redis string `json:"redis,omitzero"`
	// Moved are the addresses that were busy, with those used instead.
	Moved map[string]string `json:"moved,omitzero"`
	// Control is the path of the supervisor's unix socket.
	Control string `json:"control"`
	// RunDir holds the sockets.
	RunDir string `json:"runDir"`
	// Children with their process ids at the time of writing.
	Children []supervise.Status `json:"children"`
}

// DemoInfo is one demo server.
type DemoInfo struct {
	Server  string `json:"server"`
	Region  string `json:"region"`
	Address string `json:"address"`
	// Journal is a path, Control the address of the control endpoint.
	Journal string `json:"journal"`
	Control string `json:"control"`
}

const (
	runInfoName = "run.json"
	lockName    = "lock"
	maxRunInfo  = 1 << 20
)

// ErrNotRunning is in the error of ReadRunInfo where no stack runs on the folder.
var ErrNotRunning = errors.New("it is not up")

// LockedError says that another supervisor runs on a state folder.
type LockedError struct {
	// Dir is the state folder, PID the other process, 0 where it is not known.
	Dir string
	PID int
}

// Error implements error.
func (e *LockedError) Error() string {
	who := "another one"
	if e.PID > 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("it is up already: %s runs on %s; stop it, or choose another folder with --state", who, e.Dir)
}

// stateDir is a locked state folder.
type stateDir struct {
	path string
	lock *os.File
}

// openStateDir makes the folder where it is missing and locks it; *LockedError
// where somebody else has. The kernel drops the lock of a process that dies.
func openStateDir(path string) (*stateDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the state folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's folder
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the state folder: %w", err)
	}
	if err := takeLock(lock); err != nil {
		pid := lockHolder(lock)
		if closeErr := lock.Close(); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{Dir: path, PID: pid}
		}
		return nil, fmt.Errorf("locking the state folder: %w", err)
	}
	d := &stateDir{path: path, lock: lock}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the lock of the state folder: %w", err), lock.Close())
	}
	return d, d.clean()
}

const (
	lockTries = 5
	lockPause = 50 * time.Millisecond
)

// takeLock tries more than once, since ReadRunInfo holds the lock for a moment.
func takeLock(lock *os.File) error {
	var err error
	for range lockTries {
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(lockPause)
	}
	return err
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// lockHolder reads the process id in a lock file; 0 where there is none.
func lockHolder(lock *os.File) int {
	text := make([]byte, 32)
	n, _ := lock.ReadAt(text, 0) // a short file is the rule
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// clean removes what a supervisor that was killed has left behind.
func (d *stateDir) clean() error {
	info, err := readRunInfo(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && ownRunDir(info.RunDir, d.path) {
		if err := os.RemoveAll(info.RunDir); err != nil {
			return fmt.Errorf("removing an old socket folder: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(d.path, runInfoName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an old run file: %w", err)
	}
	return nil
}

// write replaces the run file in one step.
func (d *stateDir) write(info *RunInfo) error {
	body, err := json.Marshal(info, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encoding the run file: %w", err)
	}
	target := filepath.Join(d.path, runInfoName)
	if err := os.WriteFile(target+".new", append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the run file: %w", err)
	}
	if err := os.Rename(target+".new", target); err != nil {
		return fmt.Errorf("writing the run file: %w", err)
	}
	return nil
}

// close removes the run file and gives up the lock. The lock file stays: removing
// it would let two supervisors lock two files of one name.
func (d *stateDir) close() error {
	err := os.Remove(filepath.Join(d.path, runInfoName))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, d.lock.Truncate(0), d.lock.Close())
}

// ReadRunInfo returns the run file of the stack that runs on the state folder;
// ErrNotRunning is in the error where none does.
func ReadRunInfo(dir string) (*RunInfo, error) {
	info, err := readRunInfo(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no run file in %s", ErrNotRunning, dir)
	}
	if err != nil {
		return nil, err
	}
	lock, err := os.Open(filepath.Join(dir, lockName)) //nolint:gosec // the operator's folder
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer lock.Close() //nolint:errcheck // only asked whether it is held
	if unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return nil, fmt.Errorf("%w: process %d, which wrote the run file in %s, has ended", ErrNotRunning, info.PID, dir)
	}
	return info, nil
}

func readRunInfo(dir string) (*RunInfo, error) {
	file, err := os.Open(filepath.Join(dir, runInfoName)) //nolint:gosec // the operator's folder
	if err != nil {
		return nil, fmt.Errorf("opening the run file: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	stat, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the run file: %w", err)
	}
	if stat.Size() > maxRunInfo {
		return nil, fmt.Errorf("reading the run file: %d bytes are more than %d", stat.Size(), maxRunInfo)
	}
	var info RunInfo
	if err := json.UnmarshalRead(file, &info); err != nil {
		return nil, fmt.Errorf("reading the run file: %w", err)
	}
	return &info, nil
}
