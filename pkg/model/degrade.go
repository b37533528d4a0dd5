package model

import (
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// CachedResult has good results of a rule's tools remembered.
type CachedResult struct {
	MaxAge time.Duration
	// Shared results are given to all callers, others to the one that they were given to.
	Shared bool
	// Vary names further request headers, in lower case.
	Vary []string
	// BeforeFallback: where a result is remembered, the second provider is not asked.
	BeforeFallback bool
	// Warn adds a text to the content that tells the result's age.
	Warn bool
}

// StaticAnswer is a result that an operator has written.
type StaticAnswer struct {
	// Text for the model; empty: the structured content as JSON.
	Text string
	// StructuredContent is a JSON object; empty: none.
	StructuredContent string
	IsError           bool
}

func cachedResult(c *config.CachedResult) *CachedResult {
	if c == nil {
		return nil
	}
	out := &CachedResult{
		MaxAge: time.Duration(c.MaxAge), Shared: c.Shared, BeforeFallback: c.BeforeFallback, Warn: c.Warn == config.On,
	}
	for _, name := range c.Vary {
		out.Vary = append(out.Vary, strings.ToLower(name))
	}
	return out
}

func staticAnswer(s *config.StaticAnswer) *StaticAnswer {
	if s == nil {
		return nil
	}
	out := &StaticAnswer{Text: s.Text, IsError: s.IsError}
	if s.StructuredContent != nil {
		out.StructuredContent = s.StructuredContent.JSON
	}
	return out
}
