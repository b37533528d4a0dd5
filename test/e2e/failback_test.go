package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

const failbackConfig = `
kind: Gateway
metadata: {name: shop}
spec: {address: "${gateway}", processorTimeout: 8s}
---
kind: MCPServer
metadata: {name: orders}
spec:
  regions:
    - {name: asia-south1, endpoints: [{name: mumbai, address: "${primary-mumbai}"}]}
    - {name: asia-south2, endpoints: [{name: delhi, address: "${standby-delhi}"}]}
  failover: {failback: manual}
  healthCheck: {interval: 3s, timeout: 3s}
  probes: {tcp: {interval: 500ms}, http: {interval: 1s}}
  # How quickly a busy machine answers is not what this is about.
  score: {responseTime: {target: 30s, critical: 60s}}
  tiers: {shed: 10s, eject: 15s, promote: 30m, minHold: 1s, return: 1s}
---
kind: MCPRoute
metadata: {name: shop}
spec:
  servers: [{name: orders}]
  tools: [{match: {name: "*"}, safe: true, timeout: 30s, retry: {attempts: 2, perTryTimeout: 10s}}]
`

// allIn waits until the calls of twenty callers are answered in one region.
func allIn(b *testbed.Bed, what, region string) {
	b.Eventually(testbed.Patience, what, func() error {
		if got, _ := spread(b, 20, "list_orders"); got[region] != 20 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

// TestCallersWaitForAnOperator: callers that left a region stay with the standby when it is well again, also while the control plane is
// away and after it has come back; they are answered by the first region where nothing else is up; they go back when an
// operator says so. A promotion is a revision with who and why.
func TestCallersWaitForAnOperator(t *testing.T) {
	t.Parallel()
	b := testbed.Start(t, testbed.Options{Servers: testbed.OrdersServers(), Config: failbackConfig, Measure: "all"})
	client, err := apiclient.New(apiclient.Options{Server: "http://" + b.XDSAdmin})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	mumbai := func() (*adminv1.RegionHealth, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		h, err := client.GetHealth(ctx, &adminv1.GetHealthRequest{Server: "orders"})
		if err != nil {
			return nil, err
		}
		return h.GetRegions()[0], nil
	}
	held := func(what string) {
		t.Helper()
		b.Eventually(testbed.Patience, what, func() error {
			if r, err := mumbai(); err != nil || r.GetHeldSince() == nil {
				return fmt.Errorf("%v, %w", r, errors.Join(err))
			}
			return nil
		})
	}
	allIn(b, "calls are answered in Mumbai", testbed.Mumbai)
	b.Kill("primary-mumbai")
	held("callers are kept away from Mumbai")
	allIn(b, "calls are answered in Delhi", testbed.Delhi)

	b.Restart("primary-mumbai")
	b.Eventually(testbed.Patience, "Mumbai is well", func() error {
		r, err := mumbai()
		if err == nil && r.GetEndpoints()[0].GetTier() != "steady" {
			err = fmt.Errorf("%v", r)
		}
		return err
	})
	for range 3 {
		if got, _ := spread(b, 20, "list_orders"); got[testbed.Delhi] != 20 {
			t.Errorf("with Mumbai well again: %v", got)
		}
	}

	b.Kill("xds")
	if got, _ := spread(b, 20, "list_orders"); got[testbed.Delhi] != 20 {
		t.Errorf("with the control plane away: %v", got)
	}
	b.Kill("standby-delhi")
	allIn(b, "with nothing else up Mumbai answers", testbed.Mumbai)
	b.Restart("standby-delhi")
	allIn(b, "with Delhi up it answers", testbed.Delhi)
	b.Restart("xds")
	held("callers are kept away from Mumbai after a restart")
	allIn(b, "after a restart of the control plane Delhi answers", testbed.Delhi)

	b.Eventually(testbed.Patience, "an operator lets callers go back", func() error {
		_, err := client.Failback(t.Context(), &adminv1.FailbackRequest{Server: "orders", Author: "asha", Reason: "repaired"})
		if r, again := mumbai(); again == nil && r.GetHeldSince() == nil {
			return nil // also where the word was taken and the answer was lost
		}
		return err
	})
	allIn(b, "calls are answered in Mumbai again", testbed.Mumbai)

	answer, err := client.Promote(t.Context(), &adminv1.PromoteRequest{Server: "orders", Region: testbed.Delhi, Author: "ravi", Reason: "Mumbai is moved"})
	if err != nil || answer.GetRevision().GetAuthor() != "ravi" || answer.GetRevision().GetReason() != "Mumbai is moved" {
		t.Fatalf("%v, %v", answer, err)
	}
	allIn(b, "calls are answered in Delhi, which is first", testbed.Delhi)
}
