package stacktest

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
)

// Address is a free address of this machine, host:port, where nobody listens and that no other
// test gets, one of another process included, until this one is over.
func Address(t testing.TB) string {
	t.Helper()
	var ports supervise.Ports
	t.Cleanup(ports.Close)
	address, _, err := ports.Reserve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ports.ReleaseAll()
	return address
}
