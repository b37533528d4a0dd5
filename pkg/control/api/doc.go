// Package api serves the control plane's admin API, the service Admin of
// api/admin/v1/admin.proto: gRPC, gRPC-web and JSON over HTTP (the Connect protocol) on the
// same address and paths. It decides who may call and how much at once, and leaves
// the meaning of a call to a Backend.
//
// On a loopback address or a unix socket callers need no credentials: whoever is on the
// machine, or may open the socket, can read and write. Anything else takes a server certificate
// together with client certificates or tokens, and a role for each caller.
// Web pages are kept out everywhere: by their Origin, by the Host that they were
// loaded from, and since no request that a page can send without asking first is
// understood.
package api
