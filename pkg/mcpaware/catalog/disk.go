package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

const (
	// privateFile has the answers that are one caller's alone: a checksum, and a ReportRequest. Those
	// that callers share are kept with the control plane's other words.
	privateFile = "lists.pb"
	// maxSaved bounds the bytes of results in it, the latest used first.
	maxSaved = 16 << 20
	// saveInterval is how often it is written at most.
	saveInterval = 5 * time.Second
)

// Keep writes the answers that are one caller's alone into a directory, when there are new ones, until ctx
// ends; they go nowhere else. It returns nil.
func (s *Store) Keep(ctx context.Context, dir string, log *slog.Logger) error {
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	var saved uint64
	save := func() {
		now := s.privatePuts.Load()
		if now == saved {
			return
		}
		saved = now
		if err := s.savePrivate(dir); err != nil {
			log.Warn("lists of single callers are not on disk", "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			save()
			return nil
		case <-tick.C:
			save()
		}
	}
}

func (s *Store) savePrivate(dir string) (err error) {
	body, err := proto.Marshal(&policyv1.ReportRequest{Entries: s.privateEntries()})
	if err != nil {
		return fmt.Errorf("encoding lists: %w", err)
	}
	// Readable for this user alone.
	f, err := os.CreateTemp(dir, "."+privateFile+".*")
	if err != nil {
		return fmt.Errorf("saving lists: %w", err)
	}
	sum := sha256.Sum256(body)
	_, err = f.Write(append(sum[:], body...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, privateFile))
	}
	if err != nil {
		return fmt.Errorf("saving lists: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func (s *Store) privateEntries() []*policyv1.CatalogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*policyv1.CatalogEntry
	total := 0
	for element := s.private.order.Front(); element != nil; element = element.Next() {
		entry := element.Value.(*item).entry
		if total += size(entry); total > maxSaved {
			break
		}
		out = append(out, entry)
	}
	return out
}

// Restore takes what Keep has written before this process began. A file that does not exist is nothing; one
// that is damaged is an error, and nothing of it is taken.
func (s *Store) Restore(dir string) error {
	f, err := os.Open(filepath.Join(dir, privateFile)) //nolint:gosec // the operator's state directory
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("loading lists: %w", err)
	}
	const most = 2 * maxSaved
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("loading lists: %w", err)
	}
	if len(data) < sha256.Size || len(data) > most {
		return fmt.Errorf("loading lists: a file of %d bytes is not ours", len(data))
	}
	sum, body := data[:sha256.Size], data[sha256.Size:]
	if own := sha256.Sum256(body); !bytes.Equal(sum, own[:]) {
		return errors.New("loading lists: the checksum does not match")
	}
	saved := &policyv1.ReportRequest{}
	if err := proto.Unmarshal(body, saved); err != nil {
		return fmt.Errorf("loading lists: %w", err)
	}
	entries := saved.GetEntries()
	for i := len(entries) - 1; i >= 0; i-- {
		if e := entries[i]; Private(e.GetKey()) && Acceptable(e.GetMethod(), e.GetResult()) == nil {
			s.Put(e)
		}
	}
	return nil
}
