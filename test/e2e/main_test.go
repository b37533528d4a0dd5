// Package e2e tests Holdfast on a real Envoy, with the programs that people run
// and the official MCP SDK's client and servers. Each test starts a stack of its
// own (see package testbed). Fakes stand only where a byte, a time or a fault must be exact.
package e2e

import (
	"os"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

func TestMain(m *testing.M) { os.Exit(testbed.SideBySide(m)) }
