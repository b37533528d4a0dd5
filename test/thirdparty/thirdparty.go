// Package thirdparty gives tests the MCP clients, servers and test suites of others.
// What cannot be fetched fails the test, which says what is missing.
package thirdparty

import (
	"context"
	"sync"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/thirdparty/sdks"
)

// fetched is one look for all tests of a test binary.
//
//nolint:gochecknoglobals // tests share nothing else to keep it in
var fetched = sync.OnceValues(func() (sdks.Parts, error) { return sdks.Fetch(context.Background()) })

// Get returns the parts, fetched where the cache folder has none of this lock.
func Get(t testing.TB) sdks.Parts {
	t.Helper()
	parts, err := fetched()
	if err != nil {
		t.Fatalf("this test needs MCP clients and servers of others: %v", err)
	}
	return parts
}
