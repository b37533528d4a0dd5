package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
)

// Request is what an answer to a list depends on.
type Request struct {
	// Server, Method and Revision are those of the policy, the method table and the
	// list of known revisions; none of them holds a slash that would blur the key but
	// methods, which stand last.
	Server, Method, Revision string
	// Cursor is params.cursor; HasCursor tells the empty cursor from none.
	Cursor    string
	HasCursor bool
}

// callerMark separates the part of a key that keeps callers apart.
const callerMark = "&caller="

// CallerHeaders are the request headers that tell callers apart: with any of them, an
// answer is remembered for that caller alone. A legacy session is such a header,
// because servers may list other tools in each session.
func CallerHeaders() [4]string {
	return [...]string{"authorization", "cookie", "x-api-key", "mcp-session-id"}
}

// Key returns the key of an answer, and whether it may be shared between callers: it
// may where the request has none of CallerHeaders. values returns the values of a
// header. Keys are at most about 200 bytes for server names of 63 bytes and hold no
// credential, only a hash.
func Key(r Request, values func(header string) []string) (key string, shareable bool) {
	var b strings.Builder
	b.WriteString(r.Server)
	b.WriteByte('/')
	b.WriteString(r.Revision)
	b.WriteByte('/')
	b.WriteString(r.Method)
	b.WriteString("?cursor=")
	if r.HasCursor {
		sum := sha256.Sum256([]byte(r.Cursor))
		b.WriteString(hex.EncodeToString(sum[:16]))
	}
	caller := callerHash(values)
	if caller != "" {
		b.WriteString(callerMark)
		b.WriteString(caller)
	}
	return b.String(), caller == ""
}

// callerHash hashes all caller headers, each value with its length before it, so that
// no two sets of headers run into the same bytes. It is empty where there are none.
func callerHash(values func(header string) []string) string {
	found := false
	sum := sha256.New()
	for _, header := range CallerHeaders() {
		for _, value := range values(header) {
			found = true
			// A hash never fails to take bytes.
			_, _ = io.WriteString(sum, header+":"+strconv.Itoa(len(value))+":"+value)
		}
	}
	if !found {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Private reports whether a key is that of one caller's answer.
func Private(key string) bool { return strings.Contains(key, callerMark) }
