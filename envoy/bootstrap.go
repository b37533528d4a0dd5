// Package envoy holds the bootstrap of the Envoy that Holdfast drives, as a
// file that people run and as bytes for the programs that start one.
package envoy

import _ "embed"

// Bootstrap is bootstrap.yaml, for a program that does not find the file itself.
//
//go:embed bootstrap.yaml
var Bootstrap []byte
