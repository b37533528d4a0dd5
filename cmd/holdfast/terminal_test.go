package main

import (
	"strconv"
	"strings"
	"testing"
)

// terminal is as much of a terminal as the live screens need: it keeps what a person
// would see.
type terminal struct {
	t        *testing.T
	lines    [][]rune
	row, col int
	// pending is an escape sequence that has not been written whole.
	pending string
}

func newTerminal(t *testing.T) *terminal { return &terminal{t: t, lines: [][]rune{nil}} }

func (s *terminal) Write(data []byte) (int, error) {
	text := s.pending + string(data)
	s.pending = ""
	for len(text) > 0 {
		if text[0] != 0x1b {
			r := []rune(text)[0]
			s.put(r)
			text = text[len(string(r)):]
			continue
		}
		end := strings.IndexAny(text, "ABCDHJKm")
		if end < 0 {
			s.pending = text
			return len(data), nil
		}
		s.escape(text[:end+1])
		text = text[end+1:]
	}
	return len(data), nil
}

func (s *terminal) put(r rune) {
	switch r {
	case '\n':
		s.row, s.col = s.row+1, 0
		for len(s.lines) <= s.row {
			s.lines = append(s.lines, nil)
		}
	case '\r':
		s.col = 0
	default:
		line := s.lines[s.row]
		for len(line) <= s.col {
			line = append(line, ' ')
		}
		line[s.col] = r
		s.lines[s.row], s.col = line, s.col+1
	}
}

func (s *terminal) escape(sequence string) {
	number := strings.TrimRight(strings.TrimPrefix(sequence, "\x1b["), "ABCDHJKm")
	n, err := strconv.Atoi(number)
	if err != nil {
		n = 1
	}
	switch sequence[len(sequence)-1] {
	case 'm':
	case 'A':
		s.row -= n
		if s.row < 0 {
			s.t.Errorf("the cursor went above the first line")
			s.row = 0
		}
	case 'K':
		if number == "2" {
			s.lines[s.row] = nil
			break
		}
		s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
	case 'J':
		s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
		s.lines = s.lines[:s.row+1]
	default:
		s.t.Errorf("unknown sequence %q", sequence)
	}
}

// String is what is on the screen.
func (s *terminal) String() string {
	var out strings.Builder
	for _, line := range s.lines {
		out.WriteString(strings.TrimRight(string(line), " ") + "\n")
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func (s *terminal) shows(want string) {
	s.t.Helper()
	if got := s.String(); got != want {
		s.t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
}
