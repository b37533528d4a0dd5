package snapshot

import (
	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// degrade says what stands in for the answers of a rule's tools; nil where nothing does.
func degrade(rule model.Rule) *policyv1.Degrade {
	if rule.Cached == nil && rule.Static == nil {
		return nil
	}
	out := &policyv1.Degrade{}
	if c := rule.Cached; c != nil {
		out.CachedResult = &policyv1.CachedResult{
			MaxAge: duration(c.MaxAge), Shared: c.Shared, Vary: c.Vary, BeforeFallback: c.BeforeFallback, Warn: c.Warn,
		}
	}
	if s := rule.Static; s != nil {
		out.StaticAnswer = &policyv1.StaticAnswer{Text: s.Text, StructuredContent: []byte(s.StructuredContent), IsError: s.IsError}
	}
	return out
}

// policyHealthCheck is Envoy's, for processors that have to know whether endpoints are there. Where it
// speaks TLS they only connect.
func policyHealthCheck(s model.Server) *policyv1.HealthCheck {
	h := s.HealthCheck
	if h == nil || s.TLS != nil {
		return nil
	}
	return &policyv1.HealthCheck{Path: h.Path, Interval: duration(h.Interval), Timeout: duration(h.Timeout), AcceptMissing: h.AcceptMissing}
}
