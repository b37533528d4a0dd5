// Package revisions says what a revision of the configuration consists of, and how
// one becomes the next: by what the directory holds now, by documents given to the
// API, or by going back to an older one. Everything in it is pure: an operation
// takes a whole Set and gives a new one, or an error and nothing.
//
// A resource has one owner, the directory or the API, and only its owner changes
// it. A rollback is the exception: it brings back what an older revision held,
// whoever owns it now. Where the directory says something else, the resource is
// pinned: what the files said at that moment is overridden until they say
// something new. So files that nobody touches cannot undo a rollback, and a person
// who edits one is not overruled.
package revisions

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Owner is who may change a resource.
type Owner uint8

// Owners.
const (
	// Directory owns what stands in the watched files.
	Directory Owner = iota + 1
	// API owns what was applied by the admin API.
	API
)

// String gives directory or api.
func (o Owner) String() string {
	switch o {
	case Directory:
		return "directory"
	case API:
		return "api"
	default:
		return fmt.Sprintf("owner %d", uint8(o))
	}
}

// Ref names a resource. Names are unique within a kind.
type Ref struct {
	Kind, Name string
}

// String gives Kind/name.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Compare orders by kind, then by name.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, other.Kind), cmp.Compare(r.Name, other.Name))
}

// Digest is the SHA-256 of a document's text. The zero Digest stands for no document.
type Digest [sha256.Size]byte

// DigestOf gives the digest of a text.
func DigestOf(text string) Digest { return sha256.Sum256([]byte(text)) }

// IsZero tells whether there is no document.
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }
