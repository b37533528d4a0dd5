package supervise

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

const (
	// ringLines and ringLineBytes bound what is remembered of a child's output.
	ringLines     = 200
	ringLineBytes = 2048
)

// childLog takes the output of one child, over all of its runs: into a file that
// is moved aside when it gets too big, and the last lines into memory. It is
// safe for concurrent use. Writing to it never fails, since a child that cannot
// write would die of it: where the file cannot be written, the ring says so.
type childLog struct {
	path string
	max  int64

	mu     sync.Mutex
	file   *os.File
	size   int64
	failed bool
	ring   [ringLines]string
	// lines is the number of lines ever remembered; the ring holds the last of them.
	lines   int
	partial []byte
	// born is what lines was when the process that runs now began.
	born int
}

func newChildLog(path string, limit int64) *childLog {
	return &childLog{path: path, max: limit}
}

// Write implements io.Writer; it always takes all of data.
func (l *childLog) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeFile(data)
	for rest := data; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if room := ringLineBytes - len(l.partial); room > 0 {
			l.partial = append(l.partial, line[:min(room, len(line))]...)
		}
		if whole {
			l.endLine()
		}
		rest = after
	}
	return len(data), nil
}

func (l *childLog) writeFile(data []byte) {
	err := l.ensureFile(int64(len(data)))
	if err == nil {
		var n int
		n, err = l.file.Write(data)
		l.size += int64(n)
	}
	if err != nil && !l.failed {
		l.remember(fmt.Sprintf("(the log file cannot be written: %v)", err))
	}
	l.failed = err != nil
}

// ensureFile opens the file, after moving a full one aside.
func (l *childLog) ensureFile(need int64) error {
	if l.file != nil && l.size > 0 && l.size+need > l.max {
		err := errors.Join(l.file.Close(), os.Rename(l.path, l.path+".1"))
		l.file = nil
		if err != nil {
			return err
		}
	}
	if l.file != nil {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

func (l *childLog) endLine() {
	l.remember(strings.ToValidUTF8(strings.TrimRight(string(l.partial), "\r"), "?"))
	l.partial = l.partial[:0]
}

func (l *childLog) remember(line string) {
	l.ring[l.lines%ringLines] = line
	l.lines++
}

// begin tells that another process of the child starts; what those before it said
// stays in the file only.
func (l *childLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.endLine()
	}
	l.born = l.lines
}

// tail returns up to n last lines of the process that was started last, oldest first,
// an unfinished one included.
func (l *childLog) tail(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := min(l.lines-l.born, ringLines)
	out := make([]string, 0, kept+1)
	for i := l.lines - kept; i < l.lines; i++ {
		out = append(out, l.ring[i%ringLines])
	}
	if len(l.partial) > 0 {
		out = append(out, strings.ToValidUTF8(string(l.partial), "?"))
	}
	return out[max(0, len(out)-n):]
}

// close closes the file; a later Write opens it again.
func (l *childLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}
