package apiclient

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// MaxDocumentBytes is the most that the documents of one call may have together
// (ApplyRequest.documents).
const MaxDocumentBytes = 4 << 20

// Documents are the contents of files, joined for one call.
type Documents struct {
	// Text is what ApplyRequest.documents takes.
	Text string
	// Parts in the order of Text.
	Parts []Part
}

// Part is one document.
type Part struct {
	Ref *adminv1.ResourceRef
	// File that holds it, as the caller named it, and the line on which Text begins there.
	File string
	Line int
	// At is the line of the joined text on which it begins.
	At   int
	Text string
}

// Join reads files as far as it needs to tell their documents apart; the rest is the
// server's to check. Errors are config.Problems with the files' own names, or say that
// it is too much for one call.
func Join(files []config.File) (*Documents, error) {
	for i := range files {
		// In the middle of a text a byte order mark would be content.
		files[i].Data = bytes.TrimPrefix(files[i].Data, []byte("\uFEFF"))
	}
	split, err := config.Split(files, config.MaxFileBytes)
	if err != nil {
		return nil, err //nolint:wrapcheck // the problems say what and where
	}
	if len(split) == 0 {
		return nil, errors.New("there is no resource in what was given")
	}
	out := &Documents{}
	texts := make([]string, 0, len(split))
	line := 1
	for i, d := range split {
		d.Text = unmarked(d.Text)
		if i > 0 {
			line += strings.Count(separator(d.Text), "\n")
		}
		out.Parts = append(out.Parts, Part{
			Ref: &adminv1.ResourceRef{Kind: d.Kind, Name: d.Name}, File: d.File, Line: d.Line, At: line, Text: string(d.Text),
		})
		texts = append(texts, string(d.Text))
		line += strings.Count(strings.TrimSuffix(string(d.Text), "\n"), "\n") + 1
	}
	out.Text = JoinTexts(texts)
	if len(out.Text) > MaxDocumentBytes {
		return nil, fmt.Errorf("%s of documents are more than the %s that one call takes: apply them in parts",
			config.ByteSize(len(out.Text)), config.ByteSize(MaxDocumentBytes))
	}
	return out, nil
}

// separator is what stands before a document that follows another one. One that
// begins with directives, which only "..." may precede, brings its own "---"
// (YAML 1.2.2, section 9.2).
func separator(text []byte) string {
	switch {
	case !marked(text):
		return "---\n"
	case bytes.HasPrefix(firstWords(text), []byte("---")):
		return ""
	default:
		return "...\n"
	}
}

// marked: the text says itself where its content begins.
func marked(text []byte) bool {
	words := firstWords(text)
	return bytes.HasPrefix(words, []byte("%")) || bytes.HasPrefix(words, []byte("---"))
}

// unmarked blanks a bare separator after the comments that begin a file: behind another
// document it would cut them off and leave them with that one.
func unmarked(text []byte) []byte {
	words := firstWords(text)
	if !bytes.Equal(bytes.TrimSpace(words), []byte("---")) {
		return text
	}
	at := bytes.Index(text, words)
	return slices.Concat(text[:at], bytes.TrimLeft(words, "- \t"), text[at+len(words):])
}

// firstWords is the first line that is neither blank nor a comment.
func firstWords(text []byte) []byte {
	for line := range bytes.Lines(text) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			return line
		}
	}
	return nil
}

// Places as the server tells them: in the joined text, and in the document of a resource.
var (
	inJoined   = regexp.MustCompile(`^documents:(\d+)(:\d+)?`)
	inResource = regexp.MustCompile(`^api:([A-Za-z]+/[a-z0-9.-]+):(\d+)(:\d+)?`)
)

// Relocate puts the places of the files that the documents came from into a message,
// for each line of it that begins with a place. Lines about other things stay.
func (d *Documents) Relocate(message string) string {
	lines := strings.Split(message, "\n")
	for i, text := range lines {
		if m := inJoined.FindStringSubmatch(text); m != nil {
			if at, err := strconv.Atoi(m[1]); err == nil {
				lines[i] = d.place(at, m[2], text, len(m[0]))
			}
		} else if m := inResource.FindStringSubmatch(text); m != nil {
			for _, p := range d.Parts {
				if at, err := strconv.Atoi(m[2]); err == nil && p.Ref.GetKind()+"/"+p.Ref.GetName() == m[1] {
					lines[i] = fmt.Sprintf("%s:%d%s%s", p.File, p.Line+at-1, m[3], text[len(m[0]):])
				}
			}
		}
	}
	return strings.Join(lines, "\n")
}

// place turns a line of the joined text into one of a file.
func (d *Documents) place(at int, column, text string, prefix int) string {
	for i := len(d.Parts) - 1; i >= 0; i-- {
		if p := d.Parts[i]; at >= p.At {
			return fmt.Sprintf("%s:%d%s%s", p.File, p.Line+at-p.At, column, text[prefix:])
		}
	}
	return text
}

// JoinTexts joins documents into one text, so that each stays a document of its own.
func JoinTexts(texts []string) string {
	var out strings.Builder
	for i, text := range texts {
		if i > 0 {
			out.WriteString(separator([]byte(text)))
		}
		out.WriteString(text)
		if !strings.HasSuffix(text, "\n") {
			out.WriteString("\n")
		}
	}
	return out.String()
}
