package state

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

const (
	packPrefix = "rollout."
	packSuffix = ".pack"
	// A pack is written anew once it has grown to maxGrowth times what was in use when it
	// was new, and spare bytes.
	maxGrowth = 4
	packSpare = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pack is a file of records that only grows, so that what was saved once is not written
// again. A record counts once the state file refers to it; what a crash left behind the
// last of those is overwritten.
type pack struct {
	dir, name string
	// end is behind the last record that is on disk, base where it was when the pack was new.
	end, base int64
	known     map[string]*Record
	// Records from end on, not yet on disk.
	pending []byte
	fresh   map[string]*Record
}

// newPack makes an empty file with a name of its own.
func newPack(dir string) (*pack, error) {
	f, err := os.CreateTemp(dir, packPrefix+"*"+packSuffix)
	if err != nil {
		return nil, err
	}
	p := openPack(dir, filepath.Base(f.Name()), 0)
	if err := errors.Join(f.Close(), syncDir(dir)); err != nil {
		return nil, errors.Join(err, p.discard())
	}
	return p, nil
}

// openPack is for a file of which so many bytes are in use.
func openPack(dir, name string, end int64) *pack {
	return &pack{dir: dir, name: name, end: end, known: map[string]*Record{}, fresh: map[string]*Record{}}
}

// wasteful says that most of the pack is not in use any more.
func (p *pack) wasteful() bool { return p.end > maxGrowth*p.base+packSpare }

// find gives a record that is there already, nil where none is.
func (p *pack) find(key string) *Record {
	if r, ok := p.known[key]; ok {
		return r
	}
	return p.fresh[key]
}

// add notes a record; flush writes it.
func (p *pack) add(key string, body []byte) (*Record, error) {
	at := p.end + int64(len(p.pending))
	if len(body) > math.MaxUint32 || at+int64(len(body)) > maxFileBytes {
		return nil, fmt.Errorf("more than %d bytes", maxFileBytes)
	}
	r := &Record{Offset: uint64(at), Size: uint32(len(body)), Sum: crc32.Checksum(body, castagnoli)} //nolint:gosec // checked
	p.pending = append(p.pending, body...)
	p.fresh[key] = r
	return r, nil
}

// flush writes what was added, durably. After an error nothing was added.
func (p *pack) flush() (err error) {
	pending, fresh := p.pending, p.fresh
	p.pending, p.fresh = nil, map[string]*Record{}
	if len(pending) == 0 {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(p.dir, p.name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(pending, p.end)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	p.end += int64(len(pending))
	for key, r := range fresh {
		p.known[key] = r
	}
	return nil
}

// forget drops what was added and not written.
func (p *pack) forget() { p.pending, p.fresh = nil, map[string]*Record{} }

func (p *pack) discard() error { return os.Remove(filepath.Join(p.dir, p.name)) }

// record reads a record from an opened pack.
func (p *pack) record(f *os.File, r *Record) ([]byte, error) {
	if r.GetOffset() > uint64(p.end) || uint64(r.GetSize()) > uint64(p.end)-r.GetOffset() { //nolint:gosec // end is not negative
		return nil, errors.New("a record is beyond the end of the pack")
	}
	body := make([]byte, r.GetSize())
	if _, err := f.ReadAt(body, int64(r.GetOffset())); err != nil { //nolint:gosec // below end
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	if crc32.Checksum(body, castagnoli) != r.GetSum() {
		return nil, errors.New("checksum mismatch: the pack is damaged")
	}
	return body, nil
}

// packName says whether a file may be a pack.
func packName(name string) bool {
	return strings.HasPrefix(name, packPrefix) && strings.HasSuffix(name, packSuffix) && filepath.Base(name) == name
}

// removePacks removes all packs but one.
func removePacks(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if packName(e.Name()) && e.Name() != keep {
			if err := os.Remove(filepath.Join(dir, e.Name())); !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
