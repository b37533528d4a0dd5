// Package admit decides which calls go to a server at once, which wait for one
// of those to end, and which are refused.
//
// A Gate holds, for each server, the calls under way and a queue. A call needs
// room under the limit of its server and under that of its tool rule. The queue is
// bounded, ordered by priority and, within a priority, by arrival; a call whose rule
// has no room does not hold up those behind it. Nobody waits in vain: a call
// that would, by the pace of the calls before it, wait longer than it may is refused
// at once.
//
// Pressure is the other signal: how late the processor's own goroutines run.
package admit
