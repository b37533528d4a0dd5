package demo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// CallIDKey is the key in a call's params._meta under which a caller names the
// call for the journal.
const CallIDKey = "shopmax/call"

// maxCallID bounds the call ids that are taken from callers, in bytes.
const maxCallID = 128

// Execution is one line of a journal: a tool that a server began to execute.
type Execution struct {
	Time time.Time `json:"time"`
	// Server is "orders" or "inventory", Endpoint and Region say which of them.
	Server   string `json:"server"`
	Endpoint string `json:"endpoint"`
	Region   string `json:"region"`
	Tool     string `json:"tool"`
	// CallID is what the caller gave under CallIDKey, else a generated one.
	CallID string `json:"call_id"`
	// Seq counts the executions of one process, from 1.
	Seq uint64 `json:"seq"`
}

// Journal appends executions to a file, one line and one write each, so that
// several processes can share the file and a killed one leaves whole lines. It
// is safe for concurrent use.
type Journal struct {
	file *os.File
	seq  atomic.Uint64
}

// OpenJournal opens the file at path for appending, making it when missing.
func OpenJournal(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the operator's path
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	return &Journal{file: file}, nil
}

// Append writes e with the next Seq. A nil Journal takes everything and keeps nothing.
func (j *Journal) Append(e Execution) error {
	if j == nil {
		return nil
	}
	e.Seq = j.seq.Add(1)
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding a journal line: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("closing the journal: %w", err)
	}
	return nil
}

// maxJournalLine bounds a line that is read back.
const maxJournalLine = 64 << 10

// ReadJournal returns the executions in the file at path, in order of writing. A
// file that does not exist has none; an unfinished last line is left out.
func ReadJournal(path string) ([]Execution, error) {
	file, err := os.Open(path) //nolint:gosec // the operator's path
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	reader := bufio.NewReaderSize(file, maxJournalLine)
	var out []Execution
	for number := 1; ; number++ {
		line, err := reader.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading line %d of %q: %w", number, path, err)
		}
		var e Execution
		if err := json.Unmarshal(bytes.TrimSpace(line), &e, json.RejectUnknownMembers(true)); err != nil {
			return nil, fmt.Errorf("reading line %d of %q: %w", number, path, err)
		}
		out = append(out, e)
	}
}

// CountByCall returns how often each call was executed, over all of the given
// journals.
func CountByCall(paths ...string) (map[string]int, error) {
	counts := map[string]int{}
	for _, path := range paths {
		executions, err := ReadJournal(path)
		if err != nil {
			return nil, err
		}
		for _, e := range executions {
			counts[e.CallID]++
		}
	}
	return counts, nil
}
