package snapshot

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

func policyLimits(list []model.RateLimit) []*policyv1.RateLimit {
	var out []*policyv1.RateLimit
	for _, l := range list {
		out = append(out, policyLimit(l))
	}
	return out
}

func policyLimit(l model.RateLimit) *policyv1.RateLimit {
	return &policyv1.RateLimit{
		Id: l.ID, Key: l.Key, Requests: uint64(l.Requests), //nolint:gosec // at least 1
		Per: duration(l.Per), By: l.By, Shadow: l.Shadow,
	}
}
