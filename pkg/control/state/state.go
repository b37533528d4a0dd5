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
	"maps"
	"os"
	"path/filepath"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
)

// FileName of the state within its directory.
const FileName = "rollout.state"

// maxFileBytes bounds what is read back.
const maxFileBytes = 512 << 20

// magic begins the file; then a SHA-256 of the rest, then the message.
const magic = "holdfast-rollout-1\n"

// Contents is what is kept.
type Contents struct {
	// Revisions that a processor may apply, the one whose policies are set first.
	Revisions []*revision.Revision
	Nodes     []rollout.Node
}

// Dir is a state directory. A method must not be called concurrently with itself, nor Save
// with Load and SaveProposal with LoadProposal.
type Dir struct{ path string }

// Open makes the directory if it is missing.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	return &Dir{path: path}, nil
}

// Save writes the contents durably: a crash leaves the old file or the new one.
func (d *Dir) Save(c Contents) error {
	message, err := encode(c)
	if err != nil {
		return fmt.Errorf("saving the rollout: %w", err)
	}
	if err := d.write(FileName, message); err != nil {
		return fmt.Errorf("saving the rollout: %w", err)
	}
	return nil
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
	c, err := decode(data)
	if err != nil {
		return Contents{}, fmt.Errorf("reading the saved rollout %s: %w", filepath.Join(d.path, FileName), err)
	}
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

func encode(c Contents) (*Saved, error) {
	out := &Saved{}
	for _, r := range c.Revisions {
		saved := &SavedRevision{Version: r.Version}
		var err error
		if saved.Policies, err = encodeGroup(r.Policies); err != nil {
			return nil, err
		}
		sets := r.Sets()
		for _, name := range slices.Sorted(maps.Keys(sets)) {
			region, err := encodeRegion(name, sets[name])
			if err != nil {
				return nil, err
			}
			saved.Regions = append(saved.Regions, region)
		}
		out.Revisions = append(out.Revisions, saved)
	}
	for _, n := range c.Nodes {
		out.Nodes = append(out.Nodes, &SavedNode{Id: n.ID, Processor: n.Kind == rollout.Processor})
	}
	return out, nil
}

func encodeRegion(name string, set *resources.Set) (*SavedRegion, error) {
	out := &SavedRegion{Name: name}
	var errs [4]error
	out.Clusters, errs[0] = encodeGroup(set.Clusters)
	out.Endpoints, errs[1] = encodeGroup(set.Endpoints)
	out.Listeners, errs[2] = encodeGroup(set.Listeners)
	out.Routes, errs[3] = encodeGroup(set.Routes)
	return out, errors.Join(errs[:]...)
}

func encodeGroup(g resources.Group) ([]*SavedResource, error) {
	out := make([]*SavedResource, 0, len(g))
	for _, name := range slices.Sorted(maps.Keys(g)) {
		body := &anypb.Any{}
		if err := anypb.MarshalFrom(body, g[name].Message, proto.MarshalOptions{Deterministic: true}); err != nil {
			return nil, fmt.Errorf("resource %q: %w", name, err)
		}
		out = append(out, &SavedResource{Name: name, Version: g[name].Version, Body: body})
	}
	return out, nil
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

func decode(data []byte) (Contents, error) {
	saved := &Saved{}
	if err := unseal(data, saved); err != nil {
		return Contents{}, err
	}
	var out Contents
	for _, r := range saved.GetRevisions() {
		restored, err := decodeRevision(r)
		if err != nil {
			return Contents{}, fmt.Errorf("revision %s: %w", r.GetVersion(), err)
		}
		out.Revisions = append(out.Revisions, restored)
	}
	for _, n := range saved.GetNodes() {
		kind := rollout.Envoy
		if n.GetProcessor() {
			kind = rollout.Processor
		}
		out.Nodes = append(out.Nodes, rollout.Node{ID: n.GetId(), Kind: kind})
	}
	return out, nil
}

func decodeRevision(r *SavedRevision) (*revision.Revision, error) {
	policies, err := decodeGroup(r.GetPolicies(), &policyv1.RoutePolicy{})
	if err != nil {
		return nil, err
	}
	sets := make(map[string]*resources.Set, len(r.GetRegions()))
	for _, region := range r.GetRegions() {
		set := &resources.Set{}
		var errs [4]error
		set.Clusters, errs[0] = decodeGroup(region.GetClusters(), &clusterv3.Cluster{})
		set.Endpoints, errs[1] = decodeGroup(region.GetEndpoints(), &endpointv3.ClusterLoadAssignment{})
		set.Listeners, errs[2] = decodeGroup(region.GetListeners(), &listenerv3.Listener{})
		set.Routes, errs[3] = decodeGroup(region.GetRoutes(), &routev3.RouteConfiguration{})
		if err := errors.Join(errors.Join(errs[:]...), set.Usable()); err != nil {
			return nil, fmt.Errorf("region %q: %w", region.GetName(), err)
		}
		sets[region.GetName()] = set
	}
	return revision.Restore(r.GetVersion(), policies, sets), nil
}

// decodeGroup reads resources of one type. Versions are taken as they were saved:
// Envoys have the resources under them.
func decodeGroup(saved []*SavedResource, kind proto.Message) (resources.Group, error) {
	out := make(resources.Group, len(saved))
	for _, r := range saved {
		message := kind.ProtoReflect().New().Interface()
		if err := r.GetBody().UnmarshalTo(message); err != nil {
			return nil, fmt.Errorf("resource %q: %w", r.GetName(), err)
		}
		if own := cachev3.GetResourceName(message); own != r.GetName() {
			return nil, fmt.Errorf("resource %q is filed under the name %q", own, r.GetName())
		}
		out[r.GetName()] = resources.Versioned{Message: message, Version: r.GetVersion()}
	}
	return out, nil
}
