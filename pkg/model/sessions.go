package model

import "time"

// Sessions is how the legacy sessions of a server are treated.
type Sessions struct {
	// MaxAge of a session.
	MaxAge time.Duration
	// PrincipalHeader, lower-case, has what sessions are bound to; empty: they are not bound.
	PrincipalHeader string
	// Reinitialize opens lost sessions again on another endpoint.
	Reinitialize bool
}
