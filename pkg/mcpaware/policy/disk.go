package policy

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

const (
	policiesFile = "policies.pb"
	catalogFile  = "catalog.pb"
	// maxFileBytes bounds what is read back; larger files are not ours.
	maxFileBytes = 96 << 20
	// fileFormat is the SystemVersionInfo of a file; another one is not read.
	fileFormat = "holdfast/1"
)

// save writes a set whole: to a temporary file beside it, flushed, renamed over
// the old one, and the directory flushed, so that a crash at any moment leaves
// either the old file or the new one. The content is a checksum followed by an
// xDS delta response, which already has names, versions and bodies.
func save(dir, file string, set map[string]resource) error {
	resp := &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: fileFormat}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		resp.Resources = append(resp.Resources, &discoveryv3.Resource{
			Name: name, Version: set[name].version, Resource: set[name].body,
		})
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(resp)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	sum := sha256.Sum256(body)
	if err := replaceFile(dir, file, append(sum[:], body...)); err != nil {
		return fmt.Errorf("saving %s: %w", file, err)
	}
	return nil
}

func replaceFile(dir, file string, content []byte) error {
	tmp, err := os.CreateTemp(dir, "."+file+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, file)); err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's state directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// load reads a set back. A file that does not exist is an empty set; one that is
// damaged, too large or of another format is an error.
func load(dir, file string) (map[string]resource, error) {
	set := map[string]resource{}
	f, err := os.Open(filepath.Join(dir, file)) //nolint:gosec // the operator's state directory
	if errors.Is(err, os.ErrNotExist) {
		return set, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", file, err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("loading %s: %w", file, err)
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("loading %s: larger than %d bytes", file, maxFileBytes)
	}
	if len(content) < sha256.Size {
		return nil, fmt.Errorf("loading %s: cut short", file)
	}
	sum, body := content[:sha256.Size], content[sha256.Size:]
	if want := sha256.Sum256(body); !bytes.Equal(sum, want[:]) {
		return nil, fmt.Errorf("loading %s: checksum does not match", file)
	}
	resp := &discoveryv3.DeltaDiscoveryResponse{}
	if err := proto.Unmarshal(body, resp); err != nil {
		return nil, fmt.Errorf("loading %s: %w", file, err)
	}
	if resp.GetSystemVersionInfo() != fileFormat {
		return nil, fmt.Errorf("loading %s: format %q, want %q", file, resp.GetSystemVersionInfo(), fileFormat)
	}
	for _, r := range resp.GetResources() {
		set[r.GetName()] = resource{version: r.GetVersion(), body: r.GetResource()}
	}
	return set, nil
}
