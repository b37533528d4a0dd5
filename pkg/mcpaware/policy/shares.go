package policy

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

const sharesFile = "shares.pb"

// updateShares takes the shares of callers that are sent away from regions, whole or not at all.
func (c *Client) updateShares(resp *discoveryv3.DeltaDiscoveryResponse) error {
	set, err := c.shares.apply(resp)
	if err != nil {
		return err
	}
	if len(resp.GetResources()) == 0 && len(resp.GetRemovedResources()) == 0 {
		return nil
	}
	if err := c.useShares(set); err != nil {
		return err
	}
	c.shares.accept(set)
	c.log.Info("shares accepted", "servers", len(set))
	if c.opts.StateDir != "" {
		if err := save(c.opts.StateDir, sharesFile, set); err != nil {
			c.log.Warn("shares are in force but not on disk", "error", err)
		}
	}
	return nil
}

// restoreShares has a processor that starts while the control plane is away send away the callers that
// it sent away before.
func (c *Client) restoreShares() {
	set, err := load(c.opts.StateDir, sharesFile)
	if err == nil {
		err = c.useShares(set)
	}
	if err != nil {
		c.log.Warn("saved shares are not usable", "error", err)
		return
	}
	c.shares.accept(set)
}

func (c *Client) useShares(set map[string]resource) error {
	all, err := decodeAll(set, func() *policyv1.Shares { return &policyv1.Shares{} })
	if err != nil {
		return err
	}
	return c.opts.Shares.Set(all)
}
