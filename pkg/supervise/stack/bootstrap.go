package stack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Edits are changes to an Envoy bootstrap.
type Edits struct {
	// Addresses replaces socket addresses, host:port by host:port.
	Addresses map[string]string
	// NodeID and Region replace node.id and node.locality.region; empty: they stay.
	NodeID, Region string
}

func (e Edits) empty() bool { return len(e.Addresses) == 0 && e.NodeID == "" && e.Region == "" }

// EditBootstrap returns the bootstrap with the edits made in its YAML tree, so
// that comments and everything else stay. It is an error where an address that
// is to be replaced does not occur.
func EditBootstrap(bootstrap []byte, edits Edits) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(bootstrap, &document); err != nil {
		return nil, fmt.Errorf("reading the bootstrap: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("reading the bootstrap: it is not a YAML mapping")
	}
	root := document.Content[0]
	used := map[string]bool{}
	var errs []error
	eachMapping(root, func(m *yaml.Node) {
		errs = append(errs, replaceSocketAddress(m, edits.Addresses, used))
	})
	for _, from := range sortedKeys(edits.Addresses) {
		if !used[from] {
			errs = append(errs, fmt.Errorf("editing the bootstrap: it has no address %s", from))
		}
	}
	errs = append(errs, replaceScalar(root, edits.NodeID, "node", "id"),
		replaceScalar(root, edits.Region, "node", "locality", "region"))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&document), encoder.Close()); err != nil {
		return nil, fmt.Errorf("writing the bootstrap: %w", err)
	}
	return out.Bytes(), nil
}

// maxBootstrapDepth bounds the walk; Envoy's own bootstraps have about 15 levels.
const maxBootstrapDepth = 64

// eachMapping visits every mapping; aliases are not followed, since what they
// stand for is visited where it is written.
func eachMapping(node *yaml.Node, visit func(*yaml.Node)) {
	var walk func(*yaml.Node, int)
	walk = func(n *yaml.Node, depth int) {
		if depth > maxBootstrapDepth {
			return
		}
		if n.Kind == yaml.MappingNode {
			visit(n)
		}
		for _, child := range n.Content {
			walk(child, depth+1)
		}
	}
	walk(node, 0)
}

func field(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// replaceSocketAddress edits m where it is a core.v3.SocketAddress with a port.
func replaceSocketAddress(m *yaml.Node, replace map[string]string, used map[string]bool) error {
	address, port := field(m, "address"), field(m, "port_value")
	if address == nil || port == nil || address.Kind != yaml.ScalarNode || port.Kind != yaml.ScalarNode {
		return nil
	}
	from := net.JoinHostPort(address.Value, port.Value)
	to, ok := replace[from]
	if !ok {
		return nil
	}
	host, number, err := net.SplitHostPort(to)
	if err != nil {
		return fmt.Errorf("editing the bootstrap: replacing %s: %w", from, err)
	}
	if _, err := strconv.ParseUint(number, 10, 16); err != nil {
		return fmt.Errorf("editing the bootstrap: replacing %s: %w", from, err)
	}
	used[from] = true
	address.Value, port.Value = host, number
	return nil
}

func replaceScalar(root *yaml.Node, value string, path ...string) error {
	if value == "" {
		return nil
	}
	node := root
	for _, key := range path {
		if node.Kind != yaml.MappingNode {
			return fmt.Errorf("editing the bootstrap: there is no %v", path)
		}
		if node = field(node, key); node == nil {
			return fmt.Errorf("editing the bootstrap: there is no %v", path)
		}
	}
	if node.Kind != yaml.ScalarNode {
		return fmt.Errorf("editing the bootstrap: %v is not a word", path)
	}
	node.Tag = "!!str"
	node.Value = value
	return nil
}

// placeBootstrap returns the path of the file that Envoy is to run: the given one
// itself where there is nothing to edit, else an edited copy in dir.
func placeBootstrap(path, dir string, edits Edits) (string, error) {
	if edits.empty() {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return "", fmt.Errorf("finding the bootstrap: %w", err)
		}
		return absolute, nil
	}
	original, err := os.ReadFile(path) //nolint:gosec // the operator's path
	if err != nil {
		return "", fmt.Errorf("reading the bootstrap: %w", err)
	}
	edited, err := EditBootstrap(original, edits)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, "bootstrap.yaml")
	if err := os.WriteFile(copied, edited, 0o600); err != nil {
		return "", fmt.Errorf("writing the edited bootstrap: %w", err)
	}
	return copied, nil
}
