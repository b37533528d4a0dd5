package config

import (
	"slices"
	"strings"
)

// glob is a tool name with wildcards: * stands for any run of characters, the empty
// one included, ? for exactly one. There is no escape.
type glob []rune

// exact tells whether the glob has no wildcard.
func (g glob) exact() bool {
	return !slices.ContainsFunc(g, func(r rune) bool { return r == '*' || r == '?' })
}

// states is a set of positions in a glob, one bit each: the places where the rest of a name has to go on.
type states []uint64

func (s states) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s states) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// within tells whether every position of s is one of t.
func (s states) within(t states) bool {
	for i := range s {
		if s[i]&^t[i] != 0 {
			return false
		}
	}
	return true
}

// enter adds position i and those that are reached from it without a character.
func (g glob) enter(s states, i int) {
	s.add(i)
	for i < len(g) && g[i] == '*' {
		i++
		s.add(i)
	}
}

func (g glob) start() states {
	s := make(states, len(g)/64+1)
	g.enter(s, 0)
	return s
}

// other stands for a character that no glob names: only wildcards match it.
const other = rune(-1)

// step gives the positions after one more character.
func (g glob) step(s states, c rune) states {
	next := make(states, len(s))
	for i, p := range g {
		if !s.has(i) {
			continue
		}
		switch p {
		case '*':
			g.enter(next, i)
		case '?', c:
			g.enter(next, i+1)
		}
	}
	return next
}

// matches tells whether a whole name is one of the glob's.
func (g glob) matches(name string) bool {
	s := g.start()
	for _, c := range name {
		s = g.step(s, c)
	}
	return s.has(len(g))
}

// inclusion decides whether every name that matches one glob matches another. It
// walks through the first and keeps the set of positions that the second can be in.
//
// Wildcards of the first only ever produce the character other: a name of the
// first with other characters there is matched whenever the one with other is, since the
// second can only have used wildcards for it.
type inclusion struct {
	inner, outer glob
	// seen holds, by position of inner, the sets of positions of outer from which nothing more needs to be tried.
	seen [][]states
	// steps left; a budget shared by many decisions.
	steps *int
}

// includes tells whether outer matches every name that inner matches. It spends
// from steps, and gives false when they run out: steps is negative then.
func includes(outer, inner glob, steps *int) bool {
	if len(outer) == 1 && outer[0] == '*' || slices.Equal(outer, inner) {
		return true
	}
	if inner.exact() && outer.exact() {
		return false
	}
	in := inclusion{inner: inner, outer: outer, seen: make([][]states, len(inner)+1), steps: steps}
	return in.from(0, outer.start())
}

// from tells whether outer, at s, matches whatever inner matches from position i on.
func (in *inclusion) from(i int, s states) bool {
	if *in.steps -= 1 + len(in.outer)/8 + len(in.seen[i]); *in.steps < 0 {
		return false
	}
	if slices.IndexFunc(s, func(word uint64) bool { return word != 0 }) < 0 {
		return false
	}
	for _, done := range in.seen[i] {
		if done.within(s) {
			return true
		}
	}
	in.seen[i] = append(in.seen[i], s)
	if i == len(in.inner) {
		return s.has(len(in.outer))
	}
	switch c := in.inner[i]; c {
	case '*':
		return in.from(i+1, s) && in.from(i, in.outer.step(s, other))
	case '?':
		return in.from(i+1, in.outer.step(s, other))
	default:
		return in.from(i+1, in.outer.step(s, c))
	}
}

// tidy brings runs of wildcards into one order, which keeps the walk short: *?* is ?*.
func tidy(s string) glob {
	var out glob
	run := ""
	flush := func() {
		out = append(out, []rune(strings.ReplaceAll(run, "*", ""))...)
		if strings.Contains(run, "*") {
			out = append(out, '*')
		}
		run = ""
	}
	for _, r := range s {
		if r == '*' || r == '?' {
			run += string(r)
			continue
		}
		flush()
		out = append(out, r)
	}
	flush()
	return out
}
