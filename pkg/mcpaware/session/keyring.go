package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
)

// KeyBytes is the length of a key's secret (AES-256).
const KeyBytes = 32

// MaxKeys is how many keys are valid at a time.
const MaxKeys = 2

// Keyring seals and opens session ids. It is immutable and safe for concurrent use.
type Keyring struct {
	// keys in the order of not_before, the oldest first.
	keys []key
}

type key struct {
	id   uint32
	from time.Time
	aead cipher.AEAD
}

// NewKeyring makes a Keyring of 1 to MaxKeys keys. Errors name what is wrong with
// which key and say nothing of its secret.
func NewKeyring(resource *sessionv1.Keys) (*Keyring, error) {
	n := len(resource.GetKeys())
	if n < 1 || n > MaxKeys {
		return nil, fmt.Errorf("session keys: there are %d, want 1 to %d", n, MaxKeys)
	}
	ring := &Keyring{}
	var problems []error
	for i, k := range resource.GetKeys() {
		made, err := newKey(k)
		if err != nil {
			problems = append(problems, fmt.Errorf("session keys: keys[%d]: %w", i, err))
			continue
		}
		if _, taken := ring.key(made.id); taken {
			problems = append(problems, fmt.Errorf("session keys: keys[%d]: id %d is there twice", i, made.id))
		}
		ring.keys = append(ring.keys, made)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if n == MaxKeys && ring.keys[1].from.Before(ring.keys[0].from) {
		ring.keys[0], ring.keys[1] = ring.keys[1], ring.keys[0]
	}
	return ring, nil
}

func newKey(k *sessionv1.Key) (key, error) {
	if len(k.GetSecret()) != KeyBytes {
		return key{}, fmt.Errorf("the secret has %d bytes, want %d", len(k.GetSecret()), KeyBytes)
	}
	if err := k.GetNotBefore().CheckValid(); err != nil {
		return key{}, fmt.Errorf("not_before: %w", err)
	}
	block, err := aes.NewCipher(k.GetSecret())
	if err != nil {
		return key{}, fmt.Errorf("making the cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return key{}, fmt.Errorf("making the cipher: %w", err)
	}
	return key{id: k.GetId(), from: k.GetNotBefore().AsTime(), aead: aead}, nil
}

func (r *Keyring) key(id uint32) (key, bool) {
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return key{}, false
}

// sealing is the key to seal with: the newest that every processor has by now.
func (r *Keyring) sealing(now time.Time) key {
	chosen := r.keys[0]
	for _, k := range r.keys[1:] {
		if !k.from.After(now) {
			chosen = k
		}
	}
	return chosen
}

// seal encrypts with the key to seal with, whose id stands in front. What is sealed
// for one purpose opens for no other.
func (r *Keyring) seal(plain []byte, purpose string, now time.Time) []byte {
	k := r.sealing(now)
	sealed := make([]byte, keyIDBytes+k.aead.NonceSize(), keyIDBytes+k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	binary.BigEndian.PutUint32(sealed, k.id)
	nonce := sealed[keyIDBytes:]
	// It never fails: the program ends where the system has no randomness.
	_, _ = rand.Read(nonce)
	return k.aead.Seal(sealed, nonce, plain, []byte(purpose)) //nolint:gosec // the nonce is random by now
}

// unseal gives what was sealed for a purpose with one of the keys; all else is ErrUnknown.
func (r *Keyring) unseal(sealed []byte, purpose string) ([]byte, error) {
	if len(sealed) < keyIDBytes {
		return nil, ErrUnknown
	}
	k, ok := r.key(binary.BigEndian.Uint32(sealed))
	if !ok || len(sealed) < keyIDBytes+k.aead.NonceSize() {
		return nil, ErrUnknown
	}
	nonce, body := sealed[keyIDBytes:keyIDBytes+k.aead.NonceSize()], sealed[keyIDBytes+k.aead.NonceSize():]
	plain, err := k.aead.Open(nil, nonce, body, []byte(purpose))
	if err != nil {
		return nil, ErrUnknown
	}
	return plain, nil
}
