package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/limit"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
)

// limitSocketTimeout bounds one reply of Redis to what is told of limits in bulk; a message waits
// for a shorter time, see limit.DefaultRedisTimeout.
const limitSocketTimeout = time.Second

// limits count what rate limits bound.
type limits struct {
	engine  limit.Engine
	metrics *mcptelemetry.Limits
	// run looks for Redis, where there is one, until ctx ends.
	run   func(ctx context.Context) error
	close func() error
	// shared says whether Redis counts; nil where there is none.
	shared func() bool
	// page shows who uses the most.
	page http.Handler
}

// countLimits makes them: in Redis where there is one, else in memory. o tells how many processors
// share them.
func countLimits(s settings, o *outcomes, registry *prometheus.Registry, logger *slog.Logger) (*limits, error) {
	memory := limit.NewMemory(limit.MemoryOptions{Place: func() limit.Place {
		rank, of := o.fleet.Place()
		return limit.Place{Rank: rank, Of: of}
	}})
	out := &limits{
		engine: memory, metrics: mcptelemetry.NewLimits(registry, memory.Keys),
		run: func(context.Context) error { return nil }, close: func() error { return nil },
		page: limit.Handler(memory, func() bool { return false }),
	}
	if s.redis.address == "" {
		return out, nil
	}
	client, err := s.redis.client(limitSocketTimeout)
	if err != nil {
		return nil, err
	}
	engine, err := limit.NewRedis(limit.RedisOptions{
		Client: client, Cluster: s.redis.cluster, Memory: memory, Instance: s.nodeID, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	mcptelemetry.RegisterLimitsRedis(registry, engine.Shared, engine.Failures)
	out.engine, out.run, out.close = engine, engine.Run, client.Close
	out.shared = engine.Shared
	out.page = limit.Handler(engine, engine.Shared)
	return out, nil
}
