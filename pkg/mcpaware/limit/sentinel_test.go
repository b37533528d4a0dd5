package limit_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestSentinel: the master that Sentinels watch is killed, a replica takes its place with what it knows, and the engine finds
// it by itself; what was used stays used.
func TestSentinel(t *testing.T) {
	const name, requests = "holdfast", 10
	master, child := stacktest.StartRedis(t)
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	stacktest.StartRedis(t, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")
	sentinel := stacktest.StartSentinel(t, name, master)
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{sentinel}, MasterName: name, MaxRetries: -1, ContextTimeoutEnabled: true, DialTimeout: time.Second,
	})
	defer client.Close() //nolint:errcheck // a test
	e, err := limit.NewRedis(limit.RedisOptions{Client: client, Memory: limit.NewMemory(limit.MemoryOptions{}), Instance: "a", Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() { cancel(); <-done }()
	eventually(t, "the engine finds the master", e.Shared)
	charge := []limit.Charge{{Rule: &limit.Rule{Requests: requests, Per: time.Hour}, Key: limit.Key{1}, Units: 1}}
	results := make([]limit.Result, 1)
	admitted := 0
	take := func(n int) {
		for range n {
			if e.Take(charge, results) {
				admitted++
			}
		}
	}
	take(4)
	plain := redis.NewClient(&redis.Options{Addr: master})
	defer plain.Close() //nolint:errcheck // a test
	eventually(t, "the replica has it, and the Sentinel knows the replica", func() bool {
		known, err := redis.NewSentinelClient(&redis.Options{Addr: sentinel}).Replicas(t.Context(), name).Result()
		return err == nil && len(known) == 1 && plain.Wait(t.Context(), 1, time.Second).Val() == 1
	})
	if _, err := child.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the engine notices", func() bool { take(1); return !e.Shared() })
	eventually(t, "the engine finds the new master", e.Shared)
	take(2 * requests)
	if admitted != requests || results[0].Used != requests || !results[0].Over {
		t.Errorf("%d admitted, %+v", admitted, results[0])
	}
}
