// Package e2e tests Holdfast on a real Envoy, with the programs that people run
// and the official MCP SDK's client and servers. Each test starts a stack of its
// own (see package testbed). Fakes stand only where a byte, a time or a fault must be exact.
package e2e

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// TestMain has more tests run side by side than there are cores: they mostly wait, one of them
// for more than a minute.
func TestMain(m *testing.M) {
	flag.Parse()
	if side := flag.Lookup("test.parallel"); side.Value.String() == side.DefValue {
		if err := side.Value.Set(strconv.Itoa(runtime.GOMAXPROCS(0) + 2)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
