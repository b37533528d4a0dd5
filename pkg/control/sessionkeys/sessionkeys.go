// Package sessionkeys makes, keeps and rotates the keys that processors seal session
// ids with. The keys are the control plane's, so that an id which one processor
// gave out is good at every other one.
package sessionkeys

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// FileName of the keys within the state directory; its mode is 0600.
const FileName = "session-keys"

const (
	// RotateAfter is how long ids are sealed with one key. Ids are good while their key
	// is one of the newest two, so for at least that long.
	RotateAfter = 30 * 24 * time.Hour
	// Notice is how long processors have a key before they seal with it. One that
	// gets it later than others has to open what those have sealed.
	Notice = time.Minute
	// retryAfter is when a rotation that failed is tried again.
	retryAfter = time.Minute

	secretBytes  = 32
	maxFileBytes = 4 << 10
	magic        = "holdfast-session-keys-1\n"
)

// Publish hands the keys to processors.
type Publish func(*sessionv1.Keys) error

// Ring is the keys of one control plane. One goroutine at a time may use it.
type Ring struct {
	dir  string
	now  func() time.Time
	log  *slog.Logger
	keys *sessionv1.Keys
}

// Open reads the keys from a directory, or makes the first one. A file that cannot
// be read is told in the log and replaced: sessions opened before are then over,
// which clients are told as such. An error means that keys cannot be kept.
func Open(dir string, now func() time.Time, logger *slog.Logger) (*Ring, error) {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	r := &Ring{dir: dir, now: now, log: logger}
	keys, err := load(filepath.Join(dir, FileName))
	switch {
	case err == nil:
		r.keys = keys
		return r, nil
	case !errors.Is(err, fs.ErrNotExist):
		r.log.Warn("session keys cannot be read, so there are new ones; open sessions are lost", "error", err)
	}
	first, err := makeKey(0, now())
	if err != nil {
		return nil, err
	}
	r.keys = &sessionv1.Keys{Name: names.SessionKeys, Keys: []*sessionv1.Key{first}}
	return r, save(dir, r.keys)
}

// Keys are those in force, at most two; they are not to be changed.
func (r *Ring) Keys() *sessionv1.Keys { return r.keys }

// Run publishes the keys, and again after each rotation, until ctx ends. It returns nil then.
func (r *Ring) Run(ctx context.Context, publish Publish) error {
	if err := publish(r.keys); err != nil {
		return fmt.Errorf("giving out the session keys: %w", err)
	}
	timer := time.NewTimer(r.untilNext())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := r.rotate()
		if err == nil {
			err = publish(r.keys)
		}
		if err != nil {
			r.log.WarnContext(ctx, "session keys were not rotated", "error", err)
			timer.Reset(retryAfter)
			continue
		}
		r.log.InfoContext(ctx, "session keys rotated", "id", r.newest().GetId())
		timer.Reset(r.untilNext())
	}
}

func (r *Ring) newest() *sessionv1.Key { return r.keys.GetKeys()[len(r.keys.GetKeys())-1] }

func (r *Ring) untilNext() time.Duration {
	return max(0, r.newest().GetNotBefore().AsTime().Add(RotateAfter).Sub(r.now()))
}

// rotate adds a key and lets go of the oldest beyond two. It is on disk before
// anybody hears of it.
func (r *Ring) rotate() error {
	next, err := makeKey(r.newest().GetId(), r.now().Add(Notice))
	if err != nil {
		return err
	}
	keys := &sessionv1.Keys{Name: names.SessionKeys, Keys: []*sessionv1.Key{r.newest(), next}}
	if err := save(r.dir, keys); err != nil {
		return err
	}
	r.keys = keys
	return nil
}

// makeKey gives a key with a random id that is not the one before.
func makeKey(previous uint32, notBefore time.Time) (*sessionv1.Key, error) {
	random := make([]byte, secretBytes+4)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("making a session key: %w", err)
	}
	id := binary.BigEndian.Uint32(random[secretBytes:])
	if id == previous {
		id++
	}
	return &sessionv1.Key{Id: id, Secret: random[:secretBytes:secretBytes], NotBefore: timestamppb.New(notBefore)}, nil
}

// save writes the keys whole: beside the old file, flushed, and renamed over it.
func save(dir string, keys *sessionv1.Keys) error {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(keys)
	if err != nil {
		return fmt.Errorf("saving the session keys: %w", err)
	}
	sum := sha256.Sum256(body)
	// CreateTemp makes files of mode 0600.
	tmp, err := os.CreateTemp(dir, "."+FileName+".*")
	if err != nil {
		return fmt.Errorf("saving the session keys: %w", err)
	}
	_, err = tmp.Write(bytes.Join([][]byte{[]byte(magic), sum[:], body}, nil))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, FileName))
	}
	if err != nil {
		return fmt.Errorf("saving the session keys: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	d, err := os.Open(dir) //nolint:gosec // the operator's state directory
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if err != nil {
		return fmt.Errorf("saving the session keys: %w", err)
	}
	return nil
}

func load(path string) (*sessionv1.Keys, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's state directory
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(content, []byte(magic))
	if !ok || len(content) > maxFileBytes || len(rest) < sha256.Size {
		return nil, errors.New("not a file of session keys")
	}
	body := rest[sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(rest[:sha256.Size], sum[:]) {
		return nil, errors.New("the checksum does not match")
	}
	keys := &sessionv1.Keys{}
	if err := proto.Unmarshal(body, keys); err != nil {
		// The parser's words could quote the content.
		return nil, errors.New("the content cannot be parsed")
	}
	if n := len(keys.GetKeys()); n < 1 || n > 2 {
		return nil, fmt.Errorf("%d keys, want 1 or 2", n)
	}
	for _, k := range keys.GetKeys() {
		if len(k.GetSecret()) != secretBytes || k.GetNotBefore().CheckValid() != nil {
			return nil, errors.New("a key is not whole")
		}
	}
	return keys, nil
}
