package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// dialTimeout is how long a socket file may take to show that somebody is behind it.
const dialTimeout = time.Second

// ownerOnly masks everything but reading and writing by the owner.
const ownerOnly = 0o177

// listen opens unix:///path or host:port. A socket file that a dead process left
// behind is replaced; one with a living process behind it is an error. Socket
// files are for their owner alone: who can connect can ask the processor anything.
func listen(ctx context.Context, address string) (net.Listener, error) {
	path, isSocket := strings.CutPrefix(address, "unix://")
	var config net.ListenConfig
	if !isSocket {
		return config.Listen(ctx, "tcp", address)
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("listening on %q: the path is not absolute", address)
	}
	if err := clearStale(ctx, path); err != nil {
		return nil, fmt.Errorf("listening on %q: %w", address, err)
	}
	// The mask is the process's, and nothing else runs yet that makes files.
	previous := syscall.Umask(ownerOnly)
	defer syscall.Umask(previous)
	return config.Listen(ctx, "unix", path)
}

func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("the file is there and is no socket")
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(errors.New("another process listens there"), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("looking who listens there: %w", err)
	}
	return os.Remove(path)
}
