package model

import (
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func breaker(b config.Breaker) Breaker {
	return Breaker{
		Disabled: b.Disabled, Failures: uint32(b.Failures), //nolint:gosec // 2 to 1000
		OpenFor: time.Duration(b.OpenFor), MaxOpenFor: time.Duration(b.MaxOpenFor),
	}
}

func answerMatches(list []config.AnswerMatch) []AnswerMatch {
	var out []AnswerMatch
	for _, m := range list {
		match := AnswerMatch{Status: m.Status, Pointer: m.Pointer, Regex: m.Regex, Message: m.Message}
		if m.Equals != nil {
			match.In = []string{m.Equals.JSON}
		}
		for _, v := range m.In {
			match.In = append(match.In, v.JSON)
		}
		out = append(out, match)
	}
	return out
}
