// Package wire reads MCP messages from bytes: JSON-RPC bodies and the events of
// text/event-stream answers. It decides nothing about policy.
//
// Requests are read strictly (ParseRequest): whatever two JSON parsers could understand
// in two ways is refused, so that what the edge decides is what the server runs.
// Answers are read as clients read them (ParseAnswer). Nothing is re-serialised: values
// are subslices of the body, and changes to a body (SpliceMeta) insert or replace one
// range of bytes and keep all others.
//
// All functions are safe for concurrent use; an EventStream is not.
package wire
