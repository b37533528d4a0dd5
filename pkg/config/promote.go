package config

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Promoted gives the document of an MCPServer with one of its regions first; the others keep their order, and comments stay.
// The text itself where the region is the first already. An error says that there is no such region; its second result
// then gives those that there are.
func Promoted(document []byte, region string) (text []byte, regions []string, err error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		return nil, nil, fmt.Errorf("reading the server's document: %w", err)
	}
	var list *yaml.Node
	if len(root.Content) == 1 {
		list = valueAt(valueAt(root.Content[0], "spec"), "regions")
	}
	if list == nil {
		return nil, nil, fmt.Errorf("there is no region %q", region)
	}
	at := -1
	for i, item := range list.Content {
		name := valueAt(item, "name")
		if name == nil {
			continue
		}
		regions = append(regions, name.Value)
		if name.Value == region {
			at = i
		}
	}
	switch at {
	case -1:
		return nil, regions, fmt.Errorf("there is no region %q", region)
	case 0:
		return document, regions, nil
	}
	first := list.Content[at]
	list.Content = append([]*yaml.Node{first}, slices.Delete(list.Content, at, at+1)...)
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(&root); err != nil {
		return nil, regions, fmt.Errorf("writing the server's document: %w", err)
	}
	return out.Bytes(), regions, nil
}

// valueAt is the value of a key of a mapping, through aliases; nil where there is none.
func valueAt(n *yaml.Node, key string) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			v := n.Content[i+1]
			for v.Kind == yaml.AliasNode {
				v = v.Alias
			}
			return v
		}
	}
	return nil
}
