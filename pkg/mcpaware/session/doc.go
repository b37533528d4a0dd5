// Package session knows the sessions of the MCP revisions up to 2025-11-25 (Streamable
// HTTP, section "Session Management"). A server that gives out session ids keeps the
// session in one process, so every later request has to reach that process. The
// client gets another id in its place, which holds the owner of the session, sealed:
// any processor of any region can route by it without having seen it before, and nobody
// else can read it or make one.
package session
