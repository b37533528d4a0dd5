package degrade

import "github.com/go-json-experiment/json/jsontext"

// Refusal is why a request is turned away without asking a server.
type Refusal struct {
	// Status is the HTTP status, 4xx.
	Status int
	// Number is the JSON-RPC error code.
	Number int
	// Code and Message go into the error's data too.
	Code    Code
	Message string
	// ID holds the request id's exact bytes; nil where it is not known.
	ID jsontext.Value
	// RequestID is left out of the data where empty.
	RequestID string
	// Data is further members of the error's data, as JSON without braces; nil for none.
	Data []byte
	// Headers are set besides content-type, such as allow.
	Headers []HeaderValue
}

// Refuse words a refusal: a JSON-RPC error with the request's id, or null.
func Refuse(r Refusal) Answer {
	cause := Cause{Code: r.Code, Message: r.Message, RequestID: r.RequestID}
	return Answer{
		Status:  r.Status,
		Code:    r.Code,
		Headers: append(headers("", &cause), r.Headers...),
		Body:    appendError(nil, r.ID, r.Number, &cause, r.Data),
	}
}
