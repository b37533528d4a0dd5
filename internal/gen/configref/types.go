package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// typeDoc is one exported type of the source.
type typeDoc struct {
	name string
	doc  string
	// fields of a struct as YAML names them; nil for other types.
	fields []fieldDoc
	// values of a text type with constants, in written order.
	values []string
}

// fieldDoc is one field of a struct.
type fieldDoc struct {
	// goName and name are the field's names in Go and in YAML.
	goName, name string
	doc          string
	// typ is the element type, without pointer and list.
	typ      string
	list     bool
	required bool
}

// typeDocs holds the types of a source by name, in written order.
type typeDocs struct {
	byName map[string]*typeDoc
	order  []*typeDoc
}

// parseTypes reads the types of Go files. Every field that YAML names must have a doc comment.
func parseTypes(sources ...[]byte) (*typeDocs, error) {
	var decls []ast.Decl
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), "types.go", source, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		decls = append(decls, file.Decls...)
	}
	out := &typeDocs{byName: map[string]*typeDoc{}}
	for _, decl := range decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			if spec, ok := spec.(*ast.TypeSpec); ok {
				if err := out.addType(gen, spec); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, decl := range decls {
		if gen, ok := decl.(*ast.GenDecl); ok && gen.Tok == token.CONST {
			out.addValues(gen)
		}
	}
	return out, nil
}

func (ts *typeDocs) addType(gen *ast.GenDecl, spec *ast.TypeSpec) error {
	t := &typeDoc{name: spec.Name.Name, doc: textOf(gen.Doc)}
	if body, ok := spec.Type.(*ast.StructType); ok {
		for _, f := range body.Fields.List {
			field, ok, err := fieldOf(f)
			if err != nil {
				return fmt.Errorf("type %s: %w", t.name, err)
			}
			if ok {
				t.fields = append(t.fields, field)
			}
		}
	}
	ts.byName[t.name] = t
	ts.order = append(ts.order, t)
	return nil
}

// addValues collects typed text constants as the values of their type.
func (ts *typeDocs) addValues(gen *ast.GenDecl) {
	for _, spec := range gen.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		name, ok := value.Type.(*ast.Ident)
		if !ok || ts.byName[name.Name] == nil {
			continue
		}
		for _, v := range value.Values {
			if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					ts.byName[name.Name].values = append(ts.byName[name.Name].values, text)
				}
			}
		}
	}
}

// fieldOf reads one struct field; ok is false for those that YAML does not name.
func fieldOf(f *ast.Field) (field fieldDoc, ok bool, err error) {
	if f.Tag == nil || len(f.Names) != 1 {
		return fieldDoc{}, false, nil
	}
	tag, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return fieldDoc{}, false, err
	}
	name, option, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
	if name == "-" || name == "" {
		return fieldDoc{}, false, nil
	}
	field = fieldDoc{goName: f.Names[0].Name, name: name, doc: textOf(f.Doc), required: option != "omitempty"}
	if field.doc == "" {
		return fieldDoc{}, false, fmt.Errorf("field %s has no doc comment", field.goName)
	}
	expr := f.Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
			continue
		case *ast.ArrayType:
			field.list = true
			expr = e.Elt
			continue
		case *ast.Ident:
			field.typ = e.Name
			return field, true, nil
		}
		return fieldDoc{}, false, fmt.Errorf("field %s has a type that the reference cannot show", field.goName)
	}
}

func textOf(doc *ast.CommentGroup) string {
	return strings.Join(strings.Fields(doc.Text()), " ")
}

// describe gives a field's text for readers of YAML: the Go name at its start
// becomes the YAML name where it is not a plain word.
func (f fieldDoc) describe() string {
	rest, ok := strings.CutPrefix(f.doc, f.goName)
	if ok && strings.IndexFunc(f.goName[1:], unicode.IsUpper) >= 0 {
		return f.name + rest
	}
	return f.doc
}

// split takes the sentence about the default out of a field's text.
func (f fieldDoc) split() (meaning, value string) {
	text := f.describe()
	at := strings.Index(text, "Default")
	if at < 0 {
		return text, ""
	}
	value = strings.TrimPrefix(strings.TrimPrefix(text[at:], "Default"), ":")
	return strings.TrimSpace(text[:at]), strings.TrimSuffix(strings.TrimSpace(value), ".")
}
