package snapshot

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

func breaker(b model.Breaker) *policyv1.Breaker {
	return &policyv1.Breaker{
		Disabled: b.Disabled, Failures: b.Failures, OpenFor: duration(b.OpenFor), MaxOpenFor: duration(b.MaxOpenFor),
	}
}

func answerMatches(list []model.AnswerMatch) []*policyv1.AnswerMatch {
	var out []*policyv1.AnswerMatch
	for _, m := range list {
		match := &policyv1.AnswerMatch{Pointer: m.Pointer, In: m.In, Regex: m.Regex, Message: m.Message}
		for _, status := range m.Status {
			match.Status = append(match.Status, uint32(status)) //nolint:gosec // 200 to 599
		}
		out = append(out, match)
	}
	return out
}
