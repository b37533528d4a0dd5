package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// enum is a text type with a fixed set of values.
type enum interface{ values() []string }

func (FailoverMode) values() []string {
	return []string{string(ActivePassive), string(ActiveActive), string(Nearest)}
}

func (Preference) values() []string { return []string{string(PreferCost)} }

func (Initiative) values() []string { return []string{string(Automatic), string(Manual)} }

func (SessionLoss) values() []string {
	return []string{string(SessionsEnd), string(SessionsReinitialize)}
}

func (MissingToken) values() []string     { return []string{string(MissingRefuse), string(MissingAllow)} }
func (TraceProtocol) values() []string    { return []string{string(TraceGRPC), string(TraceHTTP)} }
func (ErrorStyle) values() []string       { return []string{string(ErrorsMCP), string(ErrorsHTTP)} }
func (Switch) values() []string           { return []string{string(On), string(Off)} }
func (ProcessorFailure) values() []string { return []string{string(Refuse), string(Pass)} }

func onOff(boolean string) string {
	if strings.EqualFold(boolean, "true") {
		return string(On)
	}
	return string(Off)
}

// textOf gives the text of a scalar. Dates count as text, as YAML 1.2 has it.
func textOf(n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		return "", false
	}
	return n.Value, n.Tag == "!!str" || n.Tag == "!!timestamp"
}

// got names what a node holds, for messages.
func got(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value
	case "!!int", "!!float":
		return "the number " + shorten(n.Value)
	default:
		return "the text " + quote(n.Value)
	}
}

// shorten bounds a name from a file that is shown without quotes where it can be.
func shorten(s string) string {
	if len(s) <= maxShown && plainWord(strings.TrimLeft(s, "-+.0123456789")+"x") {
		return s
	}
	return quote(s)
}

// shape checks the YAML of one document before it is decoded: what it holds is
// plain data of bounded size. It reports at most one problem of each sort.
type shape struct {
	doc   *document
	nodes *int
	told  map[string]bool
}

func (s *shape) refuse(n *yaml.Node, hint, message string) bool {
	if !s.told[message] {
		s.told[message] = true
		s.doc.reportAt(s.doc.position(n), "", hint, "%s", message)
	}
	return false
}

func (s *shape) check(n *yaml.Node, depth int) bool {
	*s.nodes++
	switch {
	case *s.nodes > maxNodes:
		return s.refuse(n, "split it into several files", "the file holds too many values")
	case depth > maxDepth:
		return s.refuse(n, "", "values are nested too deeply")
	case n.Kind == yaml.AliasNode:
		return s.refuse(n, "write the value out", "YAML aliases (*name) are not used here")
	case n.Anchor != "":
		return s.refuse(n, "remove it", "YAML anchors (&name) are not used here")
	case n.Style&yaml.TaggedStyle != 0:
		return s.refuse(n, "remove it, and put text in quotes", "YAML tags (!!name) are not used here")
	case n.Tag == "!!merge":
		return s.refuse(n, "write the fields out", "YAML merge keys (<<) are not used here")
	}
	ok := true
	for _, child := range n.Content {
		if !s.check(child, depth+1) {
			ok = false
		}
		if *s.nodes > maxNodes {
			return false
		}
	}
	return ok
}
