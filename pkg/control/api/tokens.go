package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Bounds on tokens.
const (
	maxTokens     = 1000
	maxTokenBytes = 512
	hashPrefix    = "sha256:"
)

// token is one line of a tokens file. The token itself is known to its owner only.
type token struct {
	role    Role
	subject string
	hash    [sha256.Size]byte
}

// tokens are all lines of a tokens file.
type tokens []token

// loadTokens reads a tokens file, which nobody but its owner may touch.
func loadTokens(name string) (tokens, error) {
	data, err := readFile(name, true)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	parsed, err := parseTokens(string(data))
	if err != nil {
		return nil, fmt.Errorf("tokens: %s: %w", name, err)
	}
	return parsed, nil
}

// parseTokens takes lines of "role subject sha256:hex"; empty lines and lines that begin with #
// say nothing. Errors never repeat what stands in a line: who mixes up the columns, or
// writes the token in place of its hash, must not find it in a log.
func parseTokens(text string) (tokens, error) {
	var out tokens
	lines := map[[sha256.Size]byte]int{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		t, err := parseToken(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if first, ok := lines[t.hash]; ok {
			return nil, fmt.Errorf("line %d: the token of line %d again", number, first)
		}
		lines[t.hash] = number
		if out = append(out, t); len(out) > maxTokens {
			return nil, fmt.Errorf("more than %d tokens", maxTokens)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("there is no token in it")
	}
	return out, nil
}

func parseToken(line string) (token, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return token{}, fmt.Errorf("it has %d words, not three: role subject %s…", len(fields), hashPrefix)
	}
	t := token{subject: fields[1]}
	switch fields[0] {
	case "read":
		t.role = Read
	case "write":
		t.role = Write
	default:
		return token{}, errors.New("the role, its first word, is neither read nor write")
	}
	if validSubject(t.subject) != nil {
		return token{}, fmt.Errorf("the subject, its second word, cannot be an author: up to 256 bytes that can be shown, and neither %q nor %q", directoryAuthor, controlPlaneAuthor)
	}
	hash, ok := strings.CutPrefix(fields[2], hashPrefix)
	sum, err := hex.DecodeString(hash)
	if !ok || err != nil || len(sum) != sha256.Size {
		return token{}, fmt.Errorf("its third word is not %s and %d hexadecimal digits, as sha256sum gives them for the token without a line end", hashPrefix, 2*sha256.Size)
	}
	copy(t.hash[:], sum)
	if t.hash == sha256.Sum256(nil) {
		return token{}, errors.New("that is the hash of an empty token")
	}
	return t, nil
}

// find the line of a token. How long it takes says nothing about the tokens there are: all
// are compared, and what is compared are hashes.
func (ts tokens) find(presented string) (token, bool) {
	if presented == "" || len(presented) > maxTokenBytes {
		return token{}, false
	}
	hash := sha256.Sum256([]byte(presented))
	found := -1
	for i := range ts {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], ts[i].hash[:]), i, found)
	}
	if found < 0 {
		return token{}, false
	}
	return ts[found], true
}

// bearer takes the token out of the values of an Authorization header (RFC 6750, section 2.1).
func bearer(values []string) (string, error) {
	if len(values) != 1 {
		return "", errors.New("more than one Authorization header")
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errors.New("the Authorization header has no Bearer token")
	}
	return strings.Trim(value, " "), nil
}
