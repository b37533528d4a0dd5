// Package trace sends spans to a receiver by the OpenTelemetry protocol. It bounds what
// a receiver that is slow or away may cost: a queue of fixed length, one sender, a time
// limit for each batch; what finds no room is dropped and counted. Which spans are
// worth sending is for its users to say, at the end of a span: one that is never ended is
// never sent.
package trace
