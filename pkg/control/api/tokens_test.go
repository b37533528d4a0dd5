package api

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func hashed(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

func TestParseTokens(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "no token"},
		{"comments", "# a\n\n  # b\n", "no token"},
		{"two words", "read reader", "2 words"},
		{"four words", "read reader " + hashed("a") + " secret", "4 words"},
		{"plain token", "read reader secret-token", "third word"},
		{"columns mixed up", "secret-token read reader", "first word"},
		{"role in capitals", "READ reader " + hashed("a"), "first word"},
		{"short hash", "read reader sha256:abcd", "third word"},
		{"other hash", "read reader sha512:" + strings.Repeat("00", 32), "third word"},
		{"no hex", "read reader sha256:" + strings.Repeat("zz", 32), "third word"},
		{"hash of nothing", "read reader " + hashed(""), "empty token"},
		{"twice", "read a " + hashed("x") + "\n\nwrite b " + hashed("x"), "line 3: the token of line 1"},
		{"subject with a control character", "read a\x1b[31m " + hashed("x"), "second word"},
		{"long subject", "read " + strings.Repeat("a", 257) + " " + hashed("x"), "second word"},
		{"the directory", "write directory " + hashed("x"), "second word"},
		{"the control plane", "write control-plane " + hashed("x"), "second word"},
		{"second line", "read a " + hashed("x") + "\nread b", "line 2"},
	} {
		got, err := parseTokens(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v, want %s", c.name, got, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error gives the token away: %v", c.name, err)
		}
	}
	got, err := parseTokens("\t read  a  " + strings.ToUpper(strings.TrimPrefix(hashed("x"), hashPrefix)))
	if err == nil {
		t.Errorf("a hash without its name: %v", got)
	}
	got, err = parseTokens("# c\r\nread a " + hashed("x") + "\r\n  write अनिता " + hashed("y"))
	if err != nil || len(got) != 2 || got[0].role != Read || got[0].subject != "a" || got[1].role != Write || got[1].subject != "अनिता" {
		t.Errorf("%v %v", got, err)
	}
}

func TestTooManyTokens(t *testing.T) {
	var text strings.Builder
	for i := range maxTokens + 1 {
		fmt.Fprintf(&text, "read a%d %s\n", i, hashed(fmt.Sprint(i)))
	}
	if _, err := parseTokens(text.String()); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

func TestFindToken(t *testing.T) {
	long := strings.Repeat("x", maxTokenBytes+1)
	known, err := parseTokens("read a " + hashed("x") + "\nwrite b " + hashed("y") + "\nread c " + hashed("z") + "\nread d " + hashed(long))
	if err != nil {
		t.Fatal(err)
	}
	for presented, want := range map[string]string{"x": "a", "y": "b", "z": "c", "": "", "X": "", "xy": "", long: ""} {
		if got, ok := known.find(presented); got.subject != want || ok != (want != "") {
			t.Errorf("%q: %v %v, want %q", presented, got.subject, ok, want)
		}
	}
}

func TestBearer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
		ok     bool
	}{
		{[]string{"Bearer x"}, "x", true},
		{[]string{"BEARER   x "}, "x", true},
		{[]string{"Bearer x", "Bearer y"}, "", false},
		{[]string{"Basic x"}, "", false},
		{[]string{"x"}, "", false},
		{[]string{"Bearer"}, "", true},
	} {
		if got, err := bearer(c.values); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %q %v", c.values, got, err)
		}
	}
}

func FuzzTokens(f *testing.F) {
	f.Add("read a " + hashed("x"))
	f.Add("# comment\n\nwrite b sha256:zz")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTokens(text)
		if (err == nil) == (len(got) == 0) || len(got) > maxTokens {
			t.Fatalf("%d tokens, %v", len(got), err)
		}
		for _, one := range got {
			if validSubject(one.subject) != nil || one.role == 0 {
				t.Fatalf("%+v", one)
			}
		}
	})
}
