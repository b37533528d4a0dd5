package wire

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits on one batch.
const (
	// MaxBatch is the largest number of messages.
	MaxBatch = 64
	// MaxBatchIDBytes bounds all ids together.
	MaxBatchIDBytes = 4 << 10
)

// ParseBatch reads the messages of an array that ParseRequest has accepted as Batch
// (revision 2025-03-26, base protocol, batching; JSON-RPC 2.0, section 6). All are
// requests and notifications, or all are responses; each is read as strictly as a
// message of its own, and no two requests have one id. The *Fault has no ID: an error
// about a batch belongs to none of its messages.
func ParseBatch(body []byte) ([]Message, *Fault) {
	at := skipSpace(body, 0)
	if at >= len(body) || body[at] != '[' {
		return nil, invalidRequest("message is not an array", at)
	}
	var messages []Message
	ids, size := map[string]bool{}, 0
	elements := scanArray(body, at)
	for {
		element, more := elements.next()
		if !more {
			break
		}
		if len(messages) == MaxBatch {
			return nil, invalidRequest("batch has too many messages", element.start)
		}
		if body[element.start] != '{' {
			return nil, invalidRequest("batch holds something that is not a message", element.start)
		}
		m, fault := parseMessage(body[:element.end:element.end], element.start)
		if fault != nil {
			fault.ID = nil
			return nil, fault
		}
		if m.Kind == Request {
			key := idKey(m.ID)
			if size += len(m.ID); ids[key] || size > MaxBatchIDBytes {
				return nil, invalidRequest("batch has one id twice, or ids that are too long", element.start)
			}
			ids[key] = true
		}
		messages = append(messages, m)
		if (m.Kind == Response) != (messages[0].Kind == Response) {
			return nil, invalidRequest("batch mixes requests and responses", element.start)
		}
	}
	if len(messages) == 0 {
		return nil, &Fault{Code: CodeInvalidRequest, HTTPStatus: http.StatusBadRequest, Message: "batch is empty", Offset: at}
	}
	return messages, nil
}

// idKey is an id as a JSON value: "a" and "\u0061" are one.
func idKey(id jsontext.Value) string {
	if text, ok := Unquote(id); ok {
		return `"` + text
	}
	return string(id)
}

// ParseAnswers reads the answers to a batch: an array of responses, or the only one by
// itself. It is as lenient as ParseAnswer; what is no message in an array is left out.
func ParseAnswers(body []byte) ([]Answer, *Fault) {
	single, fault := ParseAnswer(body)
	if fault != nil || single.Kind != Batch {
		return []Answer{single}, fault
	}
	at := 0
	for body[at] != '[' {
		at++
	}
	var answers []Answer
	elements := scanArray(body, at)
	for len(answers) < MaxBatch {
		element, more := elements.next()
		if !more {
			break
		}
		if answer, fault := ParseAnswer(element.of(body)); fault == nil {
			answers = append(answers, answer)
		}
	}
	return answers, nil
}
