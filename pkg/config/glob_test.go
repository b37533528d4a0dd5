package config

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// words gives every word over letters of up to length characters.
func words(letters string, length int) []string {
	out := []string{""}
	for first := 0; length > 0; length-- {
		last := len(out)
		for _, w := range out[first:last] {
			for _, r := range letters {
				out = append(out, w+string(r))
			}
		}
		first = last
	}
	return out
}

func TestGlobMatches(t *testing.T) {
	for _, test := range []struct {
		glob, name string
		want       bool
	}{
		{"get_*", "get_", true},
		{"get_*", "get", false},
		{"*", "", true},
		{"?", "", false},
		{"?", "é", true},
		{"?", "ab", false},
		{"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false},
		{"get_order", "get_order", true},
		{"get_order", "get_orders", false},
		{"*_?", "a_b", true},
		{"*_?", "a_", false},
		{"Get_*", "get_x", false},
		{"*aab", "aaaab", true},
	} {
		if got := tidy(test.glob).matches(test.name); got != test.want {
			t.Errorf("%q matches %q: %v, want %v", test.glob, test.name, got, test.want)
		}
	}
}

func TestIncludes(t *testing.T) {
	for _, test := range []struct {
		outer, inner string
		want         bool
	}{
		{"*", "anything", true},
		{"*", "?*", true},
		{"?*", "*", false},
		{"*?", "?*", true},
		{"??*", "?*?", true},
		{"get_*", "get_order", true},
		{"get_*", "get_*_x", true},
		{"get_*_x", "get_*", false},
		{"?et_*", "get_*", true},
		{"get_*", "?et_*", false},
		{"a*b", "a?b", true},
		{"a?b", "a*b", false},
		{"*ab*", "a*b", false},
		{"a*", "a", true},
		{"?*b", "*ab", true},
		{"*a*a*", "*aa*", true},
		{"*aa*", "*a*a*", false},
		{"*a?*", "a*a*a", true},
		{"x", "x", true},
		{"x", "y", false},
		{strings.Repeat("?", 200) + "*", strings.Repeat("?", 201) + "*", true},
		{strings.Repeat("a", 200) + "*", strings.Repeat("a", 199) + "*", false},
	} {
		steps := 1_000_000
		if got := includes(tidy(test.outer), tidy(test.inner), &steps); got != test.want {
			t.Errorf("%q includes %q: %v, want %v", test.outer, test.inner, got, test.want)
		}
	}
}

// Every pair of short globs, against all short words. A third letter, which no
// glob names, stands for the rest of the alphabet.
func TestIncludesIsExact(t *testing.T) {
	names := words("abz", 6)
	random := rand.New(rand.NewPCG(3, 4))
	included := 0
	for range 3000 {
		outer, inner := randomGlob(random, 5), randomGlob(random, 4)
		want := true
		for _, name := range names {
			if inner.matches(name) && !outer.matches(name) {
				want = false
				break
			}
		}
		steps := 1_000_000
		if got := includes(outer, inner, &steps); got != want {
			t.Fatalf("%q includes %q: %v, but by all words %v", string(outer), string(inner), got, want)
		}
		if want {
			included++
		}
	}
	if included < 100 || included > 2900 {
		t.Errorf("%d of 3000 pairs included each other: the test shows little", included)
	}
}

func randomGlob(random *rand.Rand, length int) glob {
	var out strings.Builder
	for range random.IntN(length + 1) {
		out.WriteByte("ab?**"[random.IntN(5)])
	}
	return tidy(out.String())
}

// The largest rules that are allowed, made to be as involved as they can be, are
// decided or refused in bounded time.
func TestCoverageIsBounded(t *testing.T) {
	shapes := map[string]func(i int) string{
		"stars":     func(i int) string { return fmt.Sprintf(`name: "%s%d"`, strings.Repeat("*a", 120), i) },
		"questions": func(i int) string { return fmt.Sprintf(`name: "*b*a%s%d"`, strings.Repeat("?", 240), i) },
		"mixed":     func(i int) string { return fmt.Sprintf(`name: "%s*%d"`, strings.Repeat("*a?", 80), i+10_000) },
		"exact":     func(i int) string { return fmt.Sprintf(`name: "tool_%d"`, i) },
		"arguments": func(i int) string {
			return fmt.Sprintf(`name: x, arguments: [{pointer: /a, in: [1, 2, 3, 4, 5, %d]}]`, i+10)
		},
		"regexes": func(i int) string {
			return fmt.Sprintf(`name: x, arguments: [{pointer: /a, regex: "(a|b|ab){50}%d"}]`, i)
		},
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			out.WriteString("kind: MCPServer\nmetadata: {name: s}\nspec: {regions: [{name: r, endpoints: [{address: '127.0.0.1:1'}]}]}\n---\n")
			out.WriteString("kind: MCPRoute\nmetadata: {name: r}\nspec:\n  servers: [{name: s}]\n  tools:\n")
			for i := range maxTools {
				fmt.Fprintf(&out, "  - match: {%s}\n", shape(i))
			}
			began := time.Now()
			_, err := Parse([]File{{Name: "big.yaml", Data: []byte(out.String())}})
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if err != nil && !strings.Contains(err.Error(), "too involved") {
				t.Errorf("%.300s", err)
			}
			t.Logf("%v: %.100v", time.Since(began), err)
		})
	}
}
