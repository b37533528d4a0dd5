package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// idOf is the event's id in quotes, false where it has none.
func idOf(e *wire.Event) string {
	if !e.HasID {
		return "false"
	}
	return fmt.Sprintf("%q", e.ID)
}

// readEvents feeds a stream in chunks of the given sizes (the last one repeats) and
// renders what came out, one line an event.
func readEvents(stream string, limit int, sizes ...int) (events []string, rest string, err error) {
	s := wire.NewEventStream(limit)
	render := func(e *wire.Event) {
		if e.Raw == nil || string(e.Raw) != stream[e.Start:e.End] {
			events = append(events, fmt.Sprintf("raw bytes %q are not %q", e.Raw, stream[e.Start:e.End]))
		}
		events = append(events, fmt.Sprintf("%d-%d name=%q data=%q has=%v id=%v message=%v",
			e.Start, e.End, e.Name, e.Data, e.HasData, idOf(e), e.IsMessage()))
	}
	fed, turn := 0, 0
	for fed < len(stream) {
		size := min(sizes[min(turn, len(sizes)-1)], len(stream)-fed)
		turn++
		// A fresh chunk each time, overwritten after use: nothing may be kept of it.
		chunk := []byte(stream[fed : fed+size])
		fed += size
		out, feedErr := s.Feed(chunk)
		for i := range out {
			render(&out[i])
		}
		if feedErr != nil {
			return events, "", feedErr
		}
		for i := range chunk {
			chunk[i] = '!'
		}
	}
	if last, ok := s.End(); ok {
		render(&last)
	}
	return events, string(s.Pending()), nil
}

func TestEventStream(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []string
		rest   string
	}{
		"LF": {
			stream: "event: message\ndata: {}\n\ndata:x\n\n",
			want: []string{
				`0-25 name="message" data="{}" has=true id=false message=true`,
				`25-33 name="" data="x" has=true id=false message=true`,
			},
		},
		"CRLF": {
			stream: "data: a\r\n\r\ndata: b\r\n\r\n",
			want: []string{
				`0-11 name="" data="a" has=true id=false message=true`,
				`11-22 name="" data="b" has=true id=false message=true`,
			},
		},
		"CR": {
			stream: "data: a\r\rdata: b\r\r",
			want: []string{
				`0-9 name="" data="a" has=true id=false message=true`,
				`9-18 name="" data="b" has=true id=false message=true`,
			},
		},
		"mixed": {
			stream: "data: a\r\n\ndata: b\n\r\ndata: c\r\r\ndata: d\n\r",
			want: []string{
				`0-10 name="" data="a" has=true id=false message=true`,
				`10-20 name="" data="b" has=true id=false message=true`,
				`20-29 name="" data="c" has=true id=false message=true`,
				`29-39 name="" data="d" has=true id=false message=true`,
			},
		},
		"byte order mark": {
			stream: "\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
			want: []string{
				`0-12 name="" data="a" has=true id=false message=true`,
				`12-24 name="" data="" has=false id=false message=false`,
			},
		},
		"byte order mark, two data lines": {
			stream: "\xef\xbb\xbfdata: a\n\xef\xbb\xbfdata: b\ndata: c\n\n",
			want:   []string{`0-31 name="" data="a\nc" has=true id=false message=true`},
		},
		"priming, comments, retry": {
			stream: "id: 1\nretry: 500\ndata:\n\n: ping\n\nid\ndata\ndata\n\n",
			want: []string{
				`0-24 name="" data="" has=true id="1" message=false`,
				`24-32 name="" data="" has=false id=false message=false`,
				`32-46 name="" data="\n" has=true id="" message=true`,
			},
		},
		"several data lines": {
			stream: "data: {\"a\":\ndata:  1}\r\n: c\ndatax: no\ndata :no\n\n",
			want:   []string{`0-47 name="" data="{\"a\":\n 1}" has=true id=false message=true`},
		},
		"foreign event name": {
			stream: "event: endpoint\ndata: /x\n\n",
			want:   []string{`0-26 name="endpoint" data="/x" has=true id=false message=false`},
		},
		"the last event name counts": {
			stream: "event: a\nevent\ndata: x\n\n",
			want:   []string{`0-24 name="" data="x" has=true id=false message=true`},
		},
		"id with NUL is none": {
			stream: "id: a\x00b\ndata: x\n\n",
			want:   []string{`0-17 name="" data="x" has=true id=false message=true`},
		},
		"the last id counts, one with NUL does not": {
			stream: "id: a\r\nid:b\r\nid: c\x00\r\ndata: x\r\n\r\n: y\n\n",
			want: []string{
				`0-32 name="" data="x" has=true id="b" message=true`,
				`32-37 name="" data="" has=false id=false message=false`,
			},
		},
		"blank lines": {
			stream: "\n\r\ndata: x\n\n",
			want: []string{
				`0-1 name="" data="" has=false id=false message=false`,
				`1-3 name="" data="" has=false id=false message=false`,
				`3-12 name="" data="x" has=true id=false message=true`,
			},
		},
		"cut inside an event":  {stream: "data: a\n\ndata: b\n", want: []string{`0-9 name="" data="a" has=true id=false message=true`}, rest: "data: b\n"},
		"cut before the blank": {stream: "data: a", rest: "data: a"},
		"late LF":              {stream: "data: a\r\r\n", want: []string{`0-9 name="" data="a" has=true id=false message=true`}, rest: "\n"},
		"empty":                {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, sizes := range [][]int{{1 << 20}, {1}, {2}, {3}, {7}, {5, 1, 1 << 20}} {
				got, rest, err := readEvents(test.stream, 1<<20, sizes...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" || rest != test.rest {
					t.Errorf("chunks %v: rest %q, want %q; events (-want +got):\n%s", sizes, rest, test.rest, diff)
				}
			}
		})
	}
}

// Events must not wait for the next one where their end is certain.
func TestEventStreamIsPrompt(t *testing.T) {
	for _, stream := range []string{"data: a\n\n", "data: a\r\n\r\n", "data: a\r\r", "data: a\r\n\n"} {
		s := wire.NewEventStream(100)
		events, err := s.Feed([]byte(stream))
		if err != nil || len(events) != 1 || len(s.Pending()) != 0 {
			t.Errorf("%q: %d events, %q pending, %v", stream, len(events), s.Pending(), err)
		}
	}
}

func TestEventStreamLimit(t *testing.T) {
	ok, big := "data: 12\n\n", "data: 123\n\n"
	stream := ok + ok + big + ok
	for _, size := range []int{1, 2, 7, 1000} {
		events, _, err := readEvents(stream, len(ok), size)
		if !errors.Is(err, wire.ErrEventTooLarge) || len(events) != 2 {
			t.Errorf("chunks of %d: %d events, %v", size, len(events), err)
		}
	}
	s := wire.NewEventStream(len(ok))
	events, err := s.Feed([]byte(ok + strings.Repeat("x", 100)))
	if !errors.Is(err, wire.ErrEventTooLarge) || len(events) != 1 || len(s.Pending()) != 100 {
		t.Errorf("%d events, %d bytes pending, %v", len(events), len(s.Pending()), err)
	}
	if events, err = s.Feed([]byte(ok)); !errors.Is(err, wire.ErrEventTooLarge) || len(events) != 0 || len(s.Pending()) != 100 {
		t.Errorf("after the error: %d events, %d bytes pending, %v", len(events), len(s.Pending()), err)
	}
}
