// Package schemafit says whether what an operator has written fits the output schema of a tool, as MCP
// clients will ask. Schemas are a server's words: nothing that they refer to is fetched, and they are
// bounded.
package schemafit

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// MaxSchemaBytes bounds a schema.
const MaxSchemaBytes = 64 << 10

// Errors of Check that are not about a value.
var (
	// ErrNoContent: clients want structured content of a tool with an output schema, unless the
	// result is an error.
	ErrNoContent = errors.New("the tool has an output schema, and the answer has no structured content")
	// ErrSchema: the schema cannot be used, so nobody knows what fits it.
	ErrSchema = errors.New("the output schema of the tool cannot be used")
)

// Answer is what is checked.
type Answer struct {
	// StructuredContent is a JSON object; empty: none.
	StructuredContent []byte
	IsError           bool
}

// Check says why clients would refuse an answer of a tool with an output schema, nil where they
// would not; schema is empty where the tool has none. The error says where the value does not fit.
func Check(schema []byte, a Answer) (err error) {
	defer func() {
		// The library panics at some of what is no schema.
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrSchema, fault)
		}
	}()
	if len(schema) == 0 || a.IsError {
		return nil
	}
	if len(a.StructuredContent) == 0 {
		return ErrNoContent
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.StructuredContent))
	if err != nil {
		return fmt.Errorf("reading the structured content: %w", err)
	}
	compiled, err := compile(schema, value)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrSchema, oneLine(err.Error()))
	}
	if err := compiled.Validate(value); err != nil {
		return inWords(err)
	}
	return nil
}

// location stands for the schema's own; nothing is there.
const location = "holdfast:output-schema"

// compile reads a schema that a value is held against.
func compile(schema []byte, value any) (*jsonschema.Schema, error) {
	if len(schema) > MaxSchemaBytes {
		return nil, fmt.Errorf("more than %d bytes", MaxSchemaBytes)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	if _, ok := document.(map[string]any); !ok {
		return nil, errors.New("it is not an object")
	}
	if err := affordable(document, value); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	// The default would read files that the schema names.
	c.UseLoader(nowhere{})
	if err := c.AddResource(location, document); err != nil {
		return nil, err
	}
	return c.Compile(location)
}

type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("%q is outside of the schema", url)
}

// inWords gives the innermost reason, in one line.
func inWords(err error) error {
	var failed *jsonschema.ValidationError
	if !errors.As(err, &failed) {
		return err
	}
	for len(failed.Causes) > 0 {
		failed = failed.Causes[0]
	}
	text := failed.Error()
	if _, reason, ok := strings.Cut(text, "\n- "); ok {
		text = reason
	}
	return fmt.Errorf("the structured content does not fit the output schema of the tool: %s", oneLine(text))
}

// oneLine is bounded, too: it quotes a server.
func oneLine(text string) string {
	const most = 400
	text = strings.Join(strings.Fields(text), " ")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
