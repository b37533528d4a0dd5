package main

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/results"
	mcptelemetry "github.com/holdfast-mcp/holdfast/pkg/mcpaware/telemetry"
)

// resultSocketTimeout bounds one reply of Redis to what is written behind the calls' back; a call waits
// for a shorter time, see package results.
const resultSocketTimeout = time.Second

// remembered are the results of tools.
type remembered struct {
	store *results.Store
	close func()
}

// rememberResults makes room for them: in memory, and in Redis where there is one.
func rememberResults(s settings, registry *prometheus.Registry, logger *slog.Logger) (*remembered, error) {
	var store *results.Store
	options := results.Options{
		MaxBytes: s.resultsMiB << 20, Logger: logger,
		Observer: mcptelemetry.NewResults(registry, func() (int, uint64) { return store.Entries(), store.Bytes() }),
	}
	end := func() {}
	if s.redis.address != "" {
		client, err := s.redis.client(resultSocketTimeout)
		if err != nil {
			return nil, err
		}
		options.Client = client
		end = func() {
			if err := client.Close(); err != nil {
				logger.Debug("closing the connections to redis", "error", err)
			}
		}
	}
	var err error
	if store, err = results.New(options); err != nil {
		end()
		return nil, err
	}
	return &remembered{store: store, close: func() { store.Close(); end() }}, nil
}

// changed is told of tools whose definition is another one: what they answered before may not be what they
// answer now.
func (r *remembered) changed(server, tool string) {
	r.store.Invalidate(server, tool, "the tool is listed with another definition, or not any more")
}
