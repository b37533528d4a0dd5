package main

import (
	"log/slog"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/policy"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/reach"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/verify"
)

// newVerifier makes the Checker of the servers in the policies in force.
func newVerifier(policies *policy.Client, logger *slog.Logger) *verify.Checker {
	return verify.New(verify.Options{Logger: logger, Servers: func() []*policyv1.Server {
		if table := policies.Table(); table != nil {
			return table.Verifiable()
		}
		return nil
	}})
}

// newProber looks at the servers behind tools, for lists of tools.
func newProber(policies *policy.Client, logger *slog.Logger) *reach.Prober {
	return reach.New(reach.Options{
		Servers: func() []*policyv1.Server {
			if table := policies.Table(); table != nil {
				return table.Behind()
			}
			return nil
		},
		Logger: logger,
	})
}
