package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// versionBytes of a hash are enough to tell sets apart.
const versionBytes = 6

// Version is a hash of the policies in force, the same at all processors that have the same
// ones; empty before any were accepted.
func (c *Client) Version() string {
	if v := c.version.Load(); v != nil {
		return *v
	}
	return ""
}

// Refusals is how many updates were refused since the client began.
func (c *Client) Refusals() uint64 { return c.refusals.Load() }

// versionOf covers the names and versions of a set's resources.
func versionOf(set map[string]resource) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		_, _ = fmt.Fprintf(h, "%q %q\n", name, set[name].version)
	}
	return hex.EncodeToString(h.Sum(nil)[:versionBytes])
}
