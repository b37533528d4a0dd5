package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// format is how an answer is written.
type format string

// Formats.
const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatYAML  format = "yaml"
)

var formats = []string{string(formatTable), string(formatJSON), string(formatYAML)}

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (*format) Type() string { return "string" }

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	for _, known := range formats {
		if text == known {
			*f = format(text)
			return nil
		}
	}
	return errors.New("it is table, json or yaml")
}

func (f *format) add(cmd *cobra.Command, structured string) {
	*f = formatTable
	cmd.Flags().VarP(f, "output", "o", "`format`: table, json or yaml"+structured)
	registerCompletion(cmd, "output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
}

// writeMessage writes a message of the API as JSON (the proto's JSON mapping), or as
// YAML with the same names.
func writeMessage(to io.Writer, f format, message proto.Message) error {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return writeStructured(to, f, text)
}

// writeStructured writes JSON, or YAML that says the same.
func writeStructured(to io.Writer, f format, text []byte) error {
	if f == formatYAML {
		out, err := jsonToYAML(text)
		if err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		text = out
	} else {
		value := jsontext.Value(text)
		// The proto library varies its white space from build to build.
		if err := value.Indent(jsontext.WithIndent("  ")); err != nil {
			return fmt.Errorf("writing the answer: %w", err)
		}
		text = append(value, '\n')
	}
	say(to, "%s", text)
	return nil
}

// jsonToYAML rewrites JSON, which is YAML in another style.
func jsonToYAML(text []byte) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was written
	}
	plain(&root)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(&root), encoder.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.LiteralStyle
	}
	for _, child := range n.Content {
		plain(child)
	}
}

// table aligns columns; the first row is the heading.
type table struct {
	rows [][]string
}

func newTable(heading ...string) *table { return &table{rows: [][]string{heading}} }

// row adds a row; cells are made harmless for terminals, and "-" when empty.
func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = dash(oneLine(cell))
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(to io.Writer) {
	aligned := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	for _, row := range t.rows {
		say(aligned, "%s\n", strings.Join(row, "\t"))
	}
	_ = aligned.Flush() // as for say
}

// oneLine is printable text without line ends.
func oneLine(text string) string {
	return strings.ReplaceAll(printable(strings.TrimSpace(text)), "\n", " ")
}

// registerCompletion cannot fail but for a flag that is not there, or has one already;
// the tests of completion would see that.
func registerCompletion(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	_ = cmd.RegisterFlagCompletionFunc(flag, complete)
}

var _ pflag.Value = (*format)(nil)
