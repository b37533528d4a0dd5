package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Bounds in bytes. Clients set none on an id, but some HTTP stacks take 16 KiB of
// headers in all.
const (
	// MaxTokenBytes bounds the id that a client gets.
	MaxTokenBytes = 6 << 10
	// MaxUpstreamIDBytes bounds the id that a server gives.
	MaxUpstreamIDBytes = 1 << 10
	// MaxInitializeBytes bounds the params of initialize that an id has room for.
	MaxInitializeBytes = 2 << 10
)

const (
	tokenPrefix = names.SessionPrefix
	uidBytes    = 16
	keyIDBytes  = 4
	// skew is how far ahead the clock of the processor that sealed an id may be.
	skew = 5 * time.Minute
)

// sealedFor is authenticated with every id: what is sealed for another purpose with
// the same key is no id.
const sealedFor = "holdfast session id 1"

// ErrUnknown is every reason for which an id is not that of a session of this caller:
// it was not made here, its key is gone, it is too old, or it is another caller's.
// Callers learn no more than that.
var ErrUnknown = errors.New("unknown session")

// Session is what an id stands for.
type Session struct {
	// UID tells sessions apart; New makes it.
	UID [uidBytes]byte
	// Server is the MCPServer, Endpoint the host:port of the process that has the
	// session, Region that endpoint's.
	Server, Endpoint, Region string
	// UpstreamID is the id that the endpoint gave: visible ASCII.
	UpstreamID string
	// Revision of MCP, such as "2025-11-25".
	Revision string
	// IssuedAt has whole seconds.
	IssuedAt time.Time
	// Principal is whose session it is; the zero value binds it to nobody.
	Principal Principal
	// Initialize holds the params of the client's initialize where they are kept.
	Initialize []byte
}

// New is a session with a UID of its own.
func New() Session {
	var s Session
	// It never fails: the program ends where the system has no randomness.
	_, _ = rand.Read(s.UID[:])
	return s
}

// Seal makes the id for a session. It is 1 to MaxTokenBytes of visible ASCII, and
// differs each time. An error says which field does not fit.
func (r *Keyring) Seal(s Session, now time.Time) (string, error) {
	if !ValidID(s.UpstreamID) {
		return "", fmt.Errorf("sealing a session id: the server's id has %d bytes, or some that are not visible ASCII", len(s.UpstreamID))
	}
	if len(s.Initialize) > MaxInitializeBytes {
		return "", fmt.Errorf("sealing a session id: the params of initialize have %d bytes, at most %d fit", len(s.Initialize), MaxInitializeBytes)
	}
	plain, err := proto.Marshal(&sessionv1.Sealed{
		Uid: s.UID[:], Server: s.Server, Endpoint: s.Endpoint, Region: s.Region, UpstreamId: s.UpstreamID,
		Revision: s.Revision, IssuedAt: s.IssuedAt.Unix(), Principal: s.Principal.Bytes(), Initialize: s.Initialize,
	})
	if err != nil {
		return "", fmt.Errorf("sealing a session id: %w", err)
	}
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(r.seal(plain, sealedFor, now))
	if len(token) > MaxTokenBytes {
		return "", fmt.Errorf("sealing a session id: it has %d bytes, at most %d are given out", len(token), MaxTokenBytes)
	}
	return token, nil
}

// OpenTo says whether the session is open to a caller now: it is the caller's or
// nobody's, and at most maxAge old (0: any age).
func (s *Session) OpenTo(caller Principal, maxAge time.Duration, now time.Time) bool {
	age := now.Sub(s.IssuedAt)
	return age >= -skew && (maxAge <= 0 || age <= maxAge) && s.Principal.Admits(caller)
}

// Open reads an id. Whatever was not sealed with one of the keys is ErrUnknown. Whether
// the session is open to a caller is for OpenTo to say.
func (r *Keyring) Open(token string) (Session, error) {
	encoded, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) > MaxTokenBytes {
		return Session{}, ErrUnknown
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Session{}, ErrUnknown
	}
	plain, err := r.unseal(sealed, sealedFor)
	if err != nil {
		return Session{}, err
	}
	content := &sessionv1.Sealed{}
	if err := proto.Unmarshal(plain, content); err != nil || len(content.GetUid()) != uidBytes || !ValidID(content.GetUpstreamId()) {
		return Session{}, ErrUnknown
	}
	principal, ok := PrincipalFrom(content.GetPrincipal())
	if !ok {
		return Session{}, ErrUnknown
	}
	return Session{
		UID: [uidBytes]byte(content.GetUid()), Server: content.GetServer(), Endpoint: content.GetEndpoint(),
		Region: content.GetRegion(), UpstreamID: content.GetUpstreamId(), Revision: content.GetRevision(),
		IssuedAt: time.Unix(content.GetIssuedAt(), 0), Principal: principal, Initialize: content.GetInitialize(),
	}, nil
}

// ValidID says whether a server's session id is one by the protocol, visible ASCII
// (0x21 to 0x7E), and not longer than MaxUpstreamIDBytes.
func ValidID(id string) bool {
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7e {
			return false
		}
	}
	return id != "" && len(id) <= MaxUpstreamIDBytes
}

const principalBytes = 16

// Principal is a hash of what a caller authenticates with. The zero value is a caller
// without credentials.
type Principal struct {
	hash [principalBytes]byte
	set  bool
}

// PrincipalOf hashes the values of the header that callers authenticate with; none
// give the zero Principal.
func PrincipalOf(values []string) Principal {
	if len(values) == 0 {
		return Principal{}
	}
	h := sha256.New()
	for _, v := range values {
		// The length keeps neighbouring values apart.
		_, _ = fmt.Fprintf(h, "holdfast principal %d:%s", len(v), v)
	}
	return Principal{hash: [principalBytes]byte(h.Sum(nil)), set: true}
}

// Admits says whether a session of p is open to a caller: always where p is nobody.
func (p Principal) Admits(caller Principal) bool {
	return !p.set || (caller.set && subtle.ConstantTimeCompare(p.hash[:], caller.hash[:]) == 1)
}

// Bytes is what PrincipalFrom makes the Principal of again; nil for nobody.
func (p Principal) Bytes() []byte {
	if !p.set {
		return nil
	}
	return p.hash[:]
}

// PrincipalFrom reads what Bytes gave; false for anything else.
func PrincipalFrom(b []byte) (Principal, bool) {
	switch len(b) {
	case 0:
		return Principal{}, true
	case principalBytes:
		return Principal{hash: [principalBytes]byte(b), set: true}, true
	}
	return Principal{}, false
}
