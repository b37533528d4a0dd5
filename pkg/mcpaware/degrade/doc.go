// Package degrade words what Holdfast says when a server's own answer is missing or
// must not be asked for: degraded answers, stale lists and refusals.
//
// What is said about health and limits is an MCP answer in HTTP 200 unless the route
// asks for HTTP statuses, because MCP clients drop bodies of 5xx and 429 answers. An
// answer in HTTP 200 always carries the request's exact id; where that is not known the
// status is an error status and the id null. Refusals of messages that no server should
// see are 4xx.
//
// The package is pure: no clock, no I/O, no state.
package degrade
