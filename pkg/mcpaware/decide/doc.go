// Package decide is the edge point's mind: which route, action and refusal one HTTP
// request of an MCP client gets, by the policies of the control plane. It knows nothing
// of Envoy's protos and does no I/O.
//
// A Table is compiled once from whole, validated policies and never changes. A request
// is decided in two steps: Headers, before its body has come, and for POST then Body.
// Everything is decided from the strictly parsed body; MCP headers are only ever
// compared with it.
package decide
