package policy

import (
	"errors"
	"fmt"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// keysFile holds secrets; like all files here its mode is 0600.
const keysFile = "session-keys.pb"

// Keyring gives the keys of session ids, nil before there were any.
func (c *Client) Keyring() *session.Keyring { return c.keyring.Load() }

// Keyed is closed once there is a keyring, from disk or from the control plane.
func (c *Client) Keyed() <-chan struct{} { return c.keyed }

// updateKeys takes the keys of session ids. None at all is refused: the last ones stay.
func (c *Client) updateKeys(resp *discoveryv3.DeltaDiscoveryResponse) error {
	set, err := c.keys.apply(resp)
	if err != nil {
		return err
	}
	if len(resp.GetResources()) == 0 && len(resp.GetRemovedResources()) == 0 {
		return nil
	}
	ring, err := keyringOf(set)
	if err != nil {
		return err
	}
	c.keys.accept(set)
	c.useKeys(ring)
	c.log.Info("session keys accepted")
	if c.opts.StateDir != "" {
		if err := save(c.opts.StateDir, keysFile, set); err != nil {
			c.log.Warn("session keys are in force but not on disk", "error", err)
		}
	}
	return nil
}

func (c *Client) restoreKeys() {
	set, err := load(c.opts.StateDir, keysFile)
	if err != nil {
		c.log.Warn("saved session keys are not usable", "error", err)
		return
	}
	if len(set) == 0 {
		return
	}
	ring, err := keyringOf(set)
	if err != nil {
		c.log.Warn("saved session keys are not usable", "error", err)
		return
	}
	c.keys.accept(set)
	c.useKeys(ring)
}

func (c *Client) useKeys(ring *session.Keyring) {
	c.keyring.Store(ring)
	c.keyOnce.Do(func() { close(c.keyed) })
}

func keyringOf(set map[string]resource) (*session.Keyring, error) {
	r, ok := set[names.SessionKeys]
	if !ok {
		return nil, fmt.Errorf("there is no resource %q", names.SessionKeys)
	}
	keys := &sessionv1.Keys{}
	if err := r.body.UnmarshalTo(keys); err != nil {
		// The parser's words could quote the content, and would go to logs and status.
		return nil, errors.New("the session keys cannot be parsed")
	}
	return session.NewKeyring(keys)
}
