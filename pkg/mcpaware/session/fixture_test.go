package session

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// start is a moment with whole seconds, as ids have it.
var start = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func keyOf(id uint32, from time.Time) *sessionv1.Key {
	return &sessionv1.Key{Id: id, Secret: bytes.Repeat([]byte{byte(id)}, KeyBytes), NotBefore: timestamppb.New(from)}
}

func ring(t testing.TB, keys ...*sessionv1.Key) *Keyring {
	t.Helper()
	r, err := NewKeyring(&sessionv1.Keys{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func example() Session {
	s := New()
	s.Server, s.Endpoint, s.Region, s.UpstreamID = "orders", "127.0.0.1:7101", "asia-south1", "3F2A-upstream"
	s.Revision, s.IssuedAt = "2025-11-25", start
	s.Principal = PrincipalOf([]string{"Bearer alice"})
	s.Initialize = []byte(`{"protocolVersion":"2025-11-25","capabilities":{}}`)
	return s
}
