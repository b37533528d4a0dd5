package wire

import (
	"bytes"
	"errors"
)

// ErrEventTooLarge says that an event grew beyond the limit given to NewEventStream.
// The stream of events cannot be read on after it.
var ErrEventTooLarge = errors.New("server-sent event is larger than allowed")

// Event is one block of a text/event-stream body: everything up to and with the empty
// line that ends it. Comments alone and empty lines alone are blocks too, so that the
// Raw bytes of all events of a stream add up to the stream. Raw, Data and ID are valid
// until the next call of Feed.
type Event struct {
	// Start and End are byte offsets in the stream; End is exclusive.
	Start, End int64
	// Raw holds the block's exact bytes.
	Raw []byte
	// Name is the value of the last event field; empty where absent.
	Name string
	// Data is the data lines joined with LF; HasData reports whether there was any.
	Data    []byte
	HasData bool
	// HasID reports an id field, of which ID is the value: the stream can be resumed after this event.
	ID    []byte
	HasID bool

	// dataAt is where in Raw the value of the only data line begins; -1 where there are
	// none or several.
	dataAt int
}

// IsMessage reports whether the event carries a JSON-RPC message: it has data and no
// event name other than "message". All others (comments, priming events with empty
// data, foreign names) commit to nothing.
func (e *Event) IsMessage() bool {
	return len(e.Data) > 0 && (e.Name == "" || e.Name == "message")
}

// terminator is how a line ended.
type terminator int

const (
	noLine terminator = iota
	lineFeed
	loneReturn
	returnLineFeed
)

// EventStream splits a text/event-stream body (HTML standard, section 9.2) that arrives
// in chunks into events. Where the chunks are cut changes nothing. Lines end with LF,
// CRLF or CR; one byte order mark at the beginning belongs to the first block.
//
// An event is given out as soon as its empty line is whole. Where that line ends with
// CR and earlier lines ended with LF or CRLF, the next byte is awaited, since it may be
// the LF of a CRLF; in streams that end lines with CR alone it is not.
//
// An EventStream is for one stream and one goroutine.
type EventStream struct {
	max int
	// buf[start:] are the bytes of the incomplete event; base is the stream offset of
	// the first of them.
	buf   []byte
	start int
	base  int64

	block  block
	last   terminator
	events []Event
	joined []byte
	err    error
}

// block is the incomplete event; its offsets count from its first byte.
type block struct {
	// line is where the current line begins, scanned how far it has been read.
	line, scanned int
	// afterReturn: the byte before scanned was the CR that ended a line.
	afterReturn bool
	// ended: that CR ended an empty line, and the event is whole but for a LF.
	ended bool

	data      span
	dataLines int
	name      string
	id        span
	hasID     bool
}

// NewEventStream returns an EventStream for events of at most maxEvent bytes, comments
// and line ends included.
func NewEventStream(maxEvent int) *EventStream {
	return &EventStream{max: maxEvent}
}

// Feed takes the next bytes of the stream and returns the events that they complete.
// They may alias chunk, so both stay untouched until the next call. The events returned
// with an error (ErrEventTooLarge) are the last ones; Pending then holds all bytes
// after them, and later chunks are not kept.
func (s *EventStream) Feed(chunk []byte) ([]Event, error) {
	s.events, s.joined = s.events[:0], s.joined[:0]
	if s.err != nil {
		return nil, s.err
	}
	current, at := chunk, 0
	if s.start < len(s.buf) {
		s.buf = append(s.buf[:copy(s.buf, s.buf[s.start:])], chunk...)
		current = s.buf
	} else {
		s.buf = s.buf[:0]
	}
	s.start = 0
	for s.err == nil {
		end, ok := s.advance(current[at:])
		if !ok {
			break
		}
		if s.finish(current[at : at+end]); s.err == nil {
			at += end
		}
	}
	if len(current)-at > s.max && s.err == nil {
		s.err = ErrEventTooLarge
	}
	if len(s.buf) > 0 {
		s.start = at
	} else {
		s.buf = append(s.buf, current[at:]...)
	}
	return s.events, s.err
}

// Pending returns the bytes after the last event, valid until the next call of Feed.
func (s *EventStream) Pending() []byte { return s.buf[s.start:] }

// End says that the stream is over. It returns an event that lacked nothing but the
// certainty that no LF follows; other pending bytes are no event (an incomplete event
// counts for nothing), and stay in Pending.
func (s *EventStream) End() (event Event, ok bool) {
	if s.err != nil || !s.block.ended {
		return Event{}, false
	}
	s.events = s.events[:0]
	pending := s.Pending()
	s.finish(pending)
	s.start = len(s.buf)
	if len(s.events) == 0 {
		return Event{}, false
	}
	return s.events[0], true
}

// advance reads on in b, which begins with the block's first byte, and returns where
// the block ends, if it does.
func (s *EventStream) advance(b []byte) (end int, ok bool) {
	k := &s.block
	for k.scanned < len(b) {
		if k.afterReturn {
			k.afterReturn = false
			s.last = loneReturn
			if b[k.scanned] == '\n' {
				s.last = returnLineFeed
				k.scanned++
				k.line = k.scanned
			}
			if k.ended {
				return k.scanned, true
			}
			continue
		}
		length := bytes.IndexAny(b[k.scanned:], "\r\n")
		if length < 0 {
			k.scanned = len(b)
			return 0, false
		}
		ending := k.scanned + length
		line := b[k.line:ending]
		if s.base == 0 && k.line == 0 {
			line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		}
		k.scanned = ending + 1
		empty := len(line) == 0
		if !empty {
			k.field(line, ending-len(line))
		}
		k.line = k.scanned
		switch {
		case b[ending] == '\n':
			s.last = lineFeed
			if empty {
				return k.scanned, true
			}
		case !empty:
			k.afterReturn = true
		case s.last == loneReturn:
			k.afterReturn = true
			return k.scanned, true
		default:
			k.afterReturn, k.ended = true, true
		}
	}
	return 0, false
}

// field reads one line that begins at offset at.
func (k *block) field(line []byte, at int) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		k.dataLines++
		end := at + len(line)
		k.data = span{end - len(value), end}
	case "event":
		k.name = "message"
		if string(value) != k.name {
			k.name = string(value)
		}
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			end := at + len(line)
			k.id, k.hasID = span{end - len(value), end}, true
		}
	}
}

// finish gives out the block whose bytes are raw and begins the next one.
func (s *EventStream) finish(raw []byte) {
	k := &s.block
	if len(raw) > s.max {
		s.err = ErrEventTooLarge
		return
	}
	event := Event{
		Start: s.base, End: s.base + int64(len(raw)), Raw: raw[:len(raw):len(raw)],
		Name: k.name, HasData: k.dataLines > 0, HasID: k.hasID, dataAt: -1,
	}
	if k.hasID {
		event.ID = raw[k.id.start:k.id.end:k.id.end]
	}
	switch {
	case k.dataLines == 1:
		event.dataAt = k.data.start
		event.Data = raw[k.data.start:k.data.end:k.data.end]
	case k.dataLines > 1:
		event.Data = s.join(raw)
	}
	s.events = append(s.events, event)
	s.base = event.End
	// A CR that ended the block by itself may still be followed by its LF, which then
	// leads the next block and ends no line.
	pendingLF := k.afterReturn && !k.ended
	s.block = block{afterReturn: pendingLF}
}

// join returns the values of all data lines of a block, with LF between them.
func (s *EventStream) join(raw []byte) []byte {
	begin := len(s.joined)
	first := true
	if s.base == 0 {
		raw = bytes.TrimPrefix(raw, []byte(byteOrderMark))
	}
	for len(raw) > 0 {
		line := raw
		if end := bytes.IndexAny(raw, "\r\n"); end >= 0 {
			line, raw = raw[:end], raw[end+1:]
		} else {
			raw = nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if string(name) != "data" {
			continue
		}
		if !first {
			s.joined = append(s.joined, '\n')
		}
		first = false
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		s.joined = append(s.joined, value...)
	}
	return s.joined[begin:len(s.joined):len(s.joined)]
}
