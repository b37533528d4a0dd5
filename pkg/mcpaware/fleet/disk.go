package fleet

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

const (
	// overridesFile has what operators said: a checksum, and a Fleet with overrides and purges alone.
	overridesFile = "overrides.pb"
	// maxFileBytes bounds what is read back.
	maxFileBytes = maxFleetBytes
)

// save writes the overrides, so that a crash leaves the old file or the new one. A machine that
// loses its power may lose the newest: the control plane says them again.
func save(dir string, said *outcomev1.Fleet) (err error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(said)
	if err != nil {
		return fmt.Errorf("encoding breaker overrides: %w", err)
	}
	f, err := os.CreateTemp(dir, "."+overridesFile+".*")
	if err != nil {
		return fmt.Errorf("saving breaker overrides: %w", err)
	}
	sum := sha256.Sum256(body)
	_, err = f.Write(append(sum[:], body...))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, overridesFile))
	}
	if err != nil {
		return fmt.Errorf("saving breaker overrides: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// load reads them back; none where nothing was saved.
func load(dir string) (*outcomev1.Fleet, error) {
	f, err := os.Open(filepath.Join(dir, overridesFile)) //nolint:gosec // the operator's state directory
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading breaker overrides: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("loading breaker overrides: %w", err)
	}
	if len(data) < sha256.Size || len(data) > maxFileBytes {
		return nil, fmt.Errorf("loading breaker overrides: a file of %d bytes is not ours", len(data))
	}
	sum, body := data[:sha256.Size], data[sha256.Size:]
	if own := sha256.Sum256(body); !bytes.Equal(sum, own[:]) {
		return nil, errors.New("loading breaker overrides: the checksum does not match")
	}
	saved := &outcomev1.Fleet{}
	if err := proto.Unmarshal(body, saved); err != nil {
		return nil, fmt.Errorf("loading breaker overrides: %w", err)
	}
	return saved, nil
}
