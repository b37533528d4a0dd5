// Package state keeps on disk what a control plane must know when it starts again:
// which revisions the processors may apply, what Envoys were shown of them, and who
// was connected. Envoys and processors go on working while the control plane is
// away, and an incremental xDS client that comes back names what it has without its
// content; without this file a new control plane would have to take from an Envoy
// what it does not know, while a processor still relies on it.
package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// FileName of the state within its directory.
const FileName = "rollout.state"

// maxFileBytes bounds what is read back.
const maxFileBytes = 512 << 20

// magic begins the file; then a SHA-256 of the rest, then the message.
const magic = "holdfast-rollout-2\n"

// Contents is what is kept.
type Contents struct {
	// Revisions that a processor may apply, the one whose policies are set first.
	Revisions []*revision.Revision
	Nodes     []rollout.Node
}

// Dir is a state directory. A method must not be called concurrently with itself, nor Save
// with Load and SaveProposal with LoadProposal.
type Dir struct {
	path string
	// pack has the resources, each of them once; nil until something was saved or loaded.
	pack *pack
	// tidy: there is no other pack.
	tidy bool
}

// Open makes the directory if it is missing.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	return &Dir{path: path}, nil
}

// Save writes the contents durably: a crash leaves the old ones or the new ones. Of the resources
// only those are written that were not saved before.
func (d *Dir) Save(c Contents) error {
	if err := d.save(c); err != nil {
		return fmt.Errorf("saving the rollout: %w", err)
	}
	return nil
}

func (d *Dir) save(c Contents) error {
	old := d.pack
	next := old
	if old == nil || old.wasteful() {
		var err error
		if next, err = newPack(d.path); err != nil {
			return err
		}
	}
	message, err := encode(c, next)
	if err == nil {
		err = next.flush()
	}
	if err == nil {
		message.Pack, message.PackBytes = next.name, uint64(next.end) //nolint:gosec // not negative
		err = d.write(FileName, message)
	}
	if next != old && err != nil {
		return errors.Join(err, next.discard())
	}
	if next != old {
		next.base = next.end
		d.pack, d.tidy = next, false
	}
	if err == nil && !d.tidy {
		// What cannot be removed now is removed another time.
		d.tidy = removePacks(d.path, next.name) == nil
	}
	return err
}

func (d *Dir) write(name string, message proto.Message) error {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return d.replace(name, slices.Concat([]byte(magic), sum[:], body))
}

func (d *Dir) replace(name string, data []byte) (err error) {
	f, err := os.CreateTemp(d.path, name+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.path, name)); err != nil {
		return err
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Load reads what was saved; nothing when nothing was. An error means that the
// file is not usable; it is left where it is until the next Save.
func (d *Dir) Load() (Contents, error) {
	data, err := d.read(FileName)
	if err != nil || data == nil {
		return Contents{}, err
	}
	c, p, err := decode(d.path, data)
	if err != nil {
		return Contents{}, fmt.Errorf("reading the saved rollout %s: %w", filepath.Join(d.path, FileName), err)
	}
	d.pack = p
	return c, nil
}

// read gives a whole file, nil for one that does not exist.
func (d *Dir) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(d.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the saved rollout: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("reading the saved rollout: %w", err)
	}
	return data, nil
}

// unseal checks the frame of a file and reads the message in it.
func unseal(data []byte, message proto.Message) error {
	if len(data) > maxFileBytes {
		return fmt.Errorf("more than %d bytes", maxFileBytes)
	}
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok || len(rest) < sha256.Size {
		return errors.New("not a saved rollout, or one of another version")
	}
	sum, body := rest[:sha256.Size], rest[sha256.Size:]
	if own := sha256.Sum256(body); !bytes.Equal(own[:], sum) {
		return errors.New("checksum mismatch: the file is damaged")
	}
	return proto.Unmarshal(body, message)
}
