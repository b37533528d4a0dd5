package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dialTimeout is how long a socket file may take to show that somebody is behind it.
const dialTimeout = time.Second

// unixListener takes its file away at the end, if that is still its own.
type unixListener struct {
	*net.UnixListener
	path string
	file os.FileInfo
}

// listenUnix makes a socket that only its owner may open. It is made in a directory that nobody
// else can enter and then put in its place, so that it is at no moment open to others; a file that a
// dead process left is replaced by that.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path is not absolute")
	}
	// The kernel takes a longer name for a file than for a connection.
	if longest := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > longest {
		return nil, fmt.Errorf("the path is too long for a socket: %d bytes, of at most %d", len(path), longest)
	}
	if err := vacant(ctx, path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".api-")
	if err != nil {
		return nil, err
	}
	l, err := bindUnix(ctx, filepath.Join(dir, "s"), path)
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		if l != nil {
			err = errors.Join(err, l.Close())
		}
		return nil, err
	}
	return l, nil
}

func bindUnix(ctx context.Context, first, path string) (*unixListener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", first)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("the path, with a name for the time of making it (%s), is too long for a socket: %w", first, err)
	}
	if err != nil {
		return nil, err
	}
	socket, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is not a unix socket", listener), listener.Close())
	}
	socket.SetUnlinkOnClose(false)
	l := &unixListener{UnixListener: socket, path: path}
	if err = os.Chmod(first, 0o600); err == nil {
		err = os.Rename(first, path)
	}
	if err == nil {
		l.file, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return l, nil
}

// vacant tells whether a path is free, or held by a socket with nobody behind it.
func vacant(ctx context.Context, path string) error {
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
	return nil
}

// Addr is the path under which others find the socket.
func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close implements net.Listener.
func (l *unixListener) Close() error {
	err := l.UnixListener.Close()
	if info, statErr := os.Lstat(l.path); err == nil && statErr == nil && os.SameFile(info, l.file) {
		return os.Remove(l.path)
	}
	return err
}
