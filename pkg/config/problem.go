package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Pos is where; the zero Position where the fault is that something is missing altogether.
	Pos Position
	// Field is the path of the value in its document, such as spec.tools[2].match.name; empty for a whole document.
	Field string
	// Message says what is wrong.
	Message string
	// Hint says what was probably meant; may be empty.
	Hint string
}

// String gives the problem on one line: file:line:column: field: message; hint.
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	if pos := p.Pos.String(); pos != "" {
		parts = append(parts, pos)
	}
	if p.Field != "" {
		parts = append(parts, p.Field)
	}
	message := p.Message
	if p.Hint != "" {
		message += "; " + p.Hint
	}
	return strings.Join(append(parts, message), ": ")
}

// Problems is everything found wrong, in order of position: an error with one line a
// problem. Where there are more than MaxProblems, the last one only says how many more.
type Problems []Problem

// Error implements error.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// String gives file:line:column, without the parts that are unknown.
func (p Position) String() string {
	file := p.File
	if strings.ContainsFunc(file, unicode.IsControl) {
		file = strconv.Quote(file)
	}
	switch {
	case p.Line == 0:
		return file
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", file, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column)
	}
}

// maxCollected bounds the memory that problems take; what is beyond it is counted.
const maxCollected = 20 * MaxProblems

// collector gathers problems of all files.
type collector struct {
	problems []Problem
	dropped  int
	// order of files by name, so that problems are told in the order of the files given.
	order map[string]int
}

func (c *collector) add(p Problem) {
	if len(c.problems) >= maxCollected {
		c.dropped++
		return
	}
	c.problems = append(c.problems, p)
}

// result is nil when nothing was collected.
func (c *collector) result() Problems {
	if len(c.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(c.order[a.Pos.File], c.order[b.Pos.File]),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
		)
	})
	if len(c.problems) <= MaxProblems {
		return c.problems
	}
	more := len(c.problems) - MaxProblems + c.dropped
	return append(c.problems[:MaxProblems:MaxProblems], Problem{Message: fmt.Sprintf("and %d more problems", more)})
}
