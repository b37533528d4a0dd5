package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder fills the structs of types.go from YAML nodes and reports whatever does
// not fit, at its place, to one document.
type decoder struct {
	doc *document
	// owners are the structs around the one being filled, for fields written one level too deep.
	owners []owner
}

type owner struct {
	path   string
	fields []field
}

// field is one member of a struct as YAML names it.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	required bool
}

// fieldsOf lists the members of struct t in written order; inline structs count as their members.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-":
		case options == "inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		default:
			out = append(out, field{name: name, index: []int{i}, typ: f.Type, required: options != "omitempty"})
		}
	}
	return out
}

func fieldNames(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

// value fills v from n, which stands at path.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	d.doc.at[path] = d.doc.position(n)
	if target, ok := v.Addr().Interface().(*Scalar); ok {
		s, problem, hint := scalarOf(n)
		if problem != "" {
			d.doc.report(path, hint, "%s", problem)
		}
		*target = s
		return
	}
	if target, ok := v.Addr().Interface().(*Value); ok {
		d.json(n, target, path)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		d.doc.report(path, "remove the line, or write a value", "has no value")
		return
	}
	switch target := v.Addr().Interface().(type) {
	case *Duration:
		d.duration(n, target, path)
		return
	case *ByteSize:
		d.byteSize(n, target, path)
		return
	case *Percent:
		d.percent(n, target, path)
		return
	case *Objective:
		d.objective(n, target, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Slice:
		d.list(n, v, path)
	case reflect.Bool:
		d.boolean(n, v, path)
	case reflect.Int:
		d.integer(n, v, path)
	default:
		d.text(n, v, path)
	}
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, path string) {
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.doc.report(path, objectHint(n, fields), "got %s, want a mapping with %s", got(n), oneOf(fieldNames(fields)))
		return
	}
	if source := v.FieldByName("Source"); source.IsValid() {
		source.Set(reflect.ValueOf(d.doc.position(n)))
	}
	d.owners = append(d.owners, owner{path, fields})
	defer func() { d.owners = d.owners[:len(d.owners)-1] }()
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.doc.reportAt(d.doc.position(key), path, "", "got %s for a field name", got(key))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.doc.reportAt(d.doc.position(key), join(path, shorten(key.Value)), "", "is written twice, first on line %d", line)
			continue
		}
		seen[key.Value] = d.doc.position(key).Line
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if at < 0 {
			d.unknown(key, path, fields)
			continue
		}
		d.value(value, v.FieldByIndex(fields[at].index), join(path, fields[at].name))
	}
	for _, f := range fields {
		if _, ok := seen[f.name]; f.required && !ok {
			d.doc.reportAt(d.doc.position(n), join(path, f.name), "", "is missing")
		}
	}
}

// objectHint shows how a bare word is written as the mapping that it stands for.
func objectHint(n *yaml.Node, fields []field) string {
	if n.Kind != yaml.ScalarNode || len(n.Value) > maxShown {
		return ""
	}
	isText := func(f field) bool { return f.typ.Kind() == reflect.String }
	at := slices.IndexFunc(fields, func(f field) bool { return isText(f) && f.required })
	if at < 0 {
		at = slices.IndexFunc(fields, isText)
	}
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("did you mean {%s: %s}?", fields[at].name, quote(n.Value))
}

// unknown reports a field that the struct at path does not have.
func (d *decoder) unknown(key *yaml.Node, path string, fields []field) {
	hint := didYouMean(key.Value, fieldNames(fields))
	if hint == "" {
		hint = "allowed here: " + strings.Join(fieldNames(fields), ", ")
		for _, o := range slices.Backward(d.owners[:len(d.owners)-1]) {
			if slices.Contains(fieldNames(o.fields), key.Value) {
				hint = "it belongs to " + cmp.Or(o.path, "the document itself")
				break
			}
		}
	}
	d.doc.reportAt(d.doc.position(key), join(path, shorten(key.Value)), hint, "there is no such field")
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		switch {
		case n.Kind == yaml.MappingNode:
			hint = `start each item with "- "`
		case len(n.Value) <= maxShown:
			hint = fmt.Sprintf("did you mean [%s]?", quote(n.Value))
		}
		d.doc.report(path, hint, "got %s, want a list", got(n))
		return
	}
	if len(n.Content) == 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, element := range n.Content {
		d.value(element, v.Index(i), item(path, i))
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return
	}
	hint := ""
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on", "y", "1":
		hint = "did you mean true?"
	case "false", "no", "off", "n", "0":
		hint = "did you mean false?"
	}
	d.doc.report(path, hint, "got %s, want true or false", got(n))
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	number, err := strconv.ParseInt(n.Value, 10, 32)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || strconv.FormatInt(number, 10) != n.Value {
		d.doc.report(path, "", "got %s, want a whole number", got(n))
		return
	}
	v.SetInt(number)
}

func (d *decoder) text(n *yaml.Node, v reflect.Value, path string) {
	text, ok := textOf(n)
	if !ok {
		hint := ""
		if n.Kind == yaml.ScalarNode && len(n.Value) <= maxShown {
			hint = fmt.Sprintf("did you mean %s, in quotes?", quote(n.Value))
		}
		if e, isEnum := v.Interface().(enum); isEnum {
			hint = "allowed: " + oneOf(e.values())
			if n.Tag == "!!bool" && slices.Contains(e.values(), string(On)) {
				hint = meant(onOff(n.Value))
			}
		}
		d.doc.report(path, hint, "got %s, want text", got(n))
		return
	}
	if e, isEnum := v.Interface().(enum); isEnum && !slices.Contains(e.values(), text) {
		hint := cmp.Or(didYouMean(text, e.values()), "allowed: "+oneOf(e.values()))
		d.doc.report(path, hint, "there is no value %s", quote(text))
		return
	}
	v.SetString(text)
}

func (d *decoder) duration(n *yaml.Node, target *Duration, path string) {
	if n.Kind != yaml.ScalarNode {
		d.doc.report(path, "", "got %s, want a duration such as 800ms or 2s", got(n))
		return
	}
	parsed, ok := parseDuration(n.Value)
	if !ok {
		d.doc.report(path, cmp.Or(suggestDuration(n.Value), "write it like 800ms, 2s or 1h30m"), "%s is not a duration", quote(n.Value))
		return
	}
	*target = parsed
}

func (d *decoder) byteSize(n *yaml.Node, target *ByteSize, path string) {
	if n.Kind != yaml.ScalarNode {
		d.doc.report(path, "", "got %s, want a size such as 64KiB", got(n))
		return
	}
	parsed, ok := parseByteSize(n.Value)
	if !ok {
		d.doc.report(path, cmp.Or(suggestByteSize(n.Value), "write it like 4096, 64KiB or 4MiB"), "%s is not a size", quote(n.Value))
		return
	}
	*target = parsed
}
