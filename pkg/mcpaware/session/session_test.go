package session

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

func same(a, b Session) bool {
	return a.UID == b.UID && a.Server == b.Server && a.Endpoint == b.Endpoint && a.Region == b.Region && a.UpstreamID == b.UpstreamID &&
		a.Revision == b.Revision && a.IssuedAt.Equal(b.IssuedAt) && a.Principal == b.Principal && bytes.Equal(a.Initialize, b.Initialize)
}

// TestSealAndOpen: any session that can be sealed comes back as it was, from an id that
// is visible ASCII, within its bound, and shows nothing of its content.
func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	r := ring(t, keyOf(1, start))
	text := func(limit int) string {
		b := make([]byte, 1+random.IntN(limit))
		for i := range b {
			b[i] = byte(0x21 + random.IntN(0x7e-0x21+1))
		}
		return string(b)
	}
	seen := map[string]bool{}
	for range 500 {
		s := New()
		s.Server, s.Endpoint, s.Region, s.Revision = text(63), text(60), text(63), text(10)
		s.UpstreamID, s.IssuedAt = text(MaxUpstreamIDBytes), start.Add(time.Duration(random.IntN(1e6))*time.Second)
		if random.IntN(2) == 0 {
			s.Principal = PrincipalOf([]string{text(2000)})
		}
		if random.IntN(2) == 0 {
			s.Initialize = []byte(text(MaxInitializeBytes))
		}
		token, err := r.Seal(s, start)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if seen[token] || len(token) > MaxTokenBytes || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			t.Fatalf("token %q", token)
		}
		seen[token] = true
		got, err := r.Open(token)
		if err != nil || !same(got, s) {
			t.Fatalf("opened %+v, %v; sealed %+v", got, err, s)
		}
	}
}

// TestAnyChangeIsUnknown: no id with a byte changed, left out or added is a session.
func TestAnyChangeIsUnknown(t *testing.T) {
	t.Parallel()
	r := ring(t, keyOf(1, start))
	token, err := r.Seal(example(), start)
	if err != nil {
		t.Fatal(err)
	}
	unknown := func(token string) {
		t.Helper()
		if s, err := r.Open(token); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q opened as %+v, %v", token, s, err)
		}
	}
	for i := range len(token) {
		for _, c := range []byte{token[i] ^ 1, 'A', '=', ' '} {
			if c != token[i] {
				unknown(token[:i] + string(c) + token[i+1:])
			}
		}
		unknown(token[:i])
		unknown(token[:i] + token[i+1:])
	}
	unknown(token + "A")
	unknown(token + token)
	unknown("")
	unknown(strings.Repeat("A", MaxTokenBytes+1))
}

func TestOpenTo(t *testing.T) {
	t.Parallel()
	alice, mallory := PrincipalOf([]string{"Bearer alice"}), PrincipalOf([]string{"Bearer mallory"})
	bound, unbound := example(), example()
	unbound.Principal = Principal{}
	for name, c := range map[string]struct {
		session Session
		caller  Principal
		age     time.Duration
		maxAge  time.Duration
		want    bool
	}{
		"its principal":           {bound, alice, 0, time.Hour, true},
		"another principal":       {bound, mallory, 0, time.Hour, false},
		"no principal":            {bound, Principal{}, 0, time.Hour, false},
		"unbound, none":           {unbound, Principal{}, 0, time.Hour, true},
		"unbound, any":            {unbound, mallory, 0, time.Hour, true},
		"as old as allowed":       {bound, alice, time.Hour, time.Hour, true},
		"too old":                 {bound, alice, time.Hour + time.Second, time.Hour, false},
		"any age":                 {bound, alice, 1e6 * time.Hour, 0, true},
		"from a clock ahead":      {bound, alice, -time.Minute, time.Hour, true},
		"from a clock far ahead":  {bound, alice, -time.Hour, time.Hour, false},
		"from far ahead, any age": {bound, alice, -time.Hour, 0, false},
	} {
		if got := c.session.OpenTo(c.caller, c.maxAge, start.Add(c.age)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if PrincipalOf([]string{"ab", "c"}) == PrincipalOf([]string{"a", "bc"}) {
		t.Error("two values are taken for two others")
	}
}

// TestRotation: an id is good as long as its key is one of the two, wherever it was
// sealed, and a key that others may not have yet seals nothing.
func TestRotation(t *testing.T) {
	t.Parallel()
	first, second, third := keyOf(1, start), keyOf(2, start.Add(time.Hour)), keyOf(3, start.Add(2*time.Hour))
	old, both, next := ring(t, first), ring(t, second, first), ring(t, second, third)
	seal := func(r *Keyring, at time.Duration) string {
		t.Helper()
		token, err := r.Seal(example(), start.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	opens := func(r *Keyring, token string) bool {
		_, err := r.Open(token)
		return err == nil
	}
	early, late := seal(both, time.Hour-time.Second), seal(both, time.Hour)
	if !opens(old, early) || opens(old, late) {
		t.Error("a processor without the new key must open what is sealed before its time, and only that")
	}
	if !opens(both, early) || !opens(both, late) || opens(next, early) || !opens(next, late) {
		t.Error("an id lives as long as its key")
	}
}

func TestKeyringErrors(t *testing.T) {
	t.Parallel()
	short := keyOf(7, start)
	short.Secret = []byte("secret-of-a-sort")
	undated := keyOf(8, start)
	undated.NotBefore = nil
	var got []string
	for _, keys := range [][]*sessionv1.Key{
		nil, {keyOf(1, start), keyOf(2, start), keyOf(3, start)}, {keyOf(1, start), keyOf(1, start)}, {short}, {undated},
	} {
		_, err := NewKeyring(&sessionv1.Keys{Keys: keys})
		if err == nil {
			t.Fatalf("%v is a keyring", keys)
		}
		if strings.Contains(err.Error(), "secret-of") {
			t.Errorf("the error shows a secret: %v", err)
		}
		got = append(got, err.Error())
	}
	want := []string{
		"session keys: there are 0, want 1 to 2",
		"session keys: there are 3, want 1 to 2",
		"session keys: keys[1]: id 1 is there twice",
		"session keys: keys[0]: the secret has 16 bytes, want 32",
	}
	// The rest of this one is protobuf's words, which vary.
	last := len(got) - 1
	if !strings.HasPrefix(got[last], "session keys: keys[0]: not_before: ") {
		t.Error(got[last])
	}
	got = got[:last]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatDoesNotFitIsNotSealed(t *testing.T) {
	t.Parallel()
	r := ring(t, keyOf(1, start))
	for name, change := range map[string]func(*Session){
		"no id": func(s *Session) { s.UpstreamID = "" }, "a space": func(s *Session) { s.UpstreamID = "a b" },
		"not ASCII": func(s *Session) { s.UpstreamID = "é" }, "long": func(s *Session) { s.UpstreamID = strings.Repeat("x", MaxUpstreamIDBytes+1) },
		"long params": func(s *Session) { s.Initialize = make([]byte, MaxInitializeBytes+1) },
		"in all":      func(s *Session) { s.Server = strings.Repeat("x", MaxTokenBytes) },
	} {
		s := example()
		change(&s)
		if token, err := r.Seal(s, start); err == nil {
			t.Errorf("%s: %q", name, token)
		}
	}
}

// FuzzOpen: nothing but what was sealed with a key opens, and nothing panics.
func FuzzOpen(f *testing.F) {
	r := ring(f, keyOf(1, start))
	token, err := r.Seal(example(), start)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := r.Open(token)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(token[:40])
	f.Add("hf1.AAAAAQ")
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := r.Open(in)
		// Each process of a fuzz run seals the same session anew, under another UID.
		s.UID = sealed.UID
		if err == nil && !reflect.DeepEqual(s, sealed) {
			t.Fatalf("%q opened as %+v", in, s)
		}
		if err != nil && !errors.Is(err, ErrUnknown) {
			t.Fatalf("%q: %v", in, err)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	r := ring(b, keyOf(1, start))
	token, err := r.Seal(example(), start)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(token); err != nil {
			b.Fatal(err)
		}
	}
}
