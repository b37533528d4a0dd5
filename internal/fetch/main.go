// Command fetch gets what the tests need and the tree does not have, so that none of them
// has to wait for it: Envoy, Redis, promtool and the SDKs of others are fetched, Jaeger is
// built. What is in the cache folder already stays. Whatever cannot be had is told; the
// tests that need it say so again.
//
// Usage, from the root of the repository: go run ./internal/fetch
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/sdks"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("finding the cache folder: %w", err)
	}
	finder := parts.Finder{
		Configured: os.Getenv("HOLDFAST_ENVOY"), CacheDir: filepath.Join(cache, "holdfast"),
		Progress: func(text string) { fmt.Println(text) },
	}
	var wg sync.WaitGroup
	errs := make(chan error)
	for what, get := range map[string]func() error{
		"Envoy":    func() error { _, err := finder.Envoy(ctx); return err },
		"Redis":    func() error { _, err := finder.Redis(ctx, os.Getenv("HOLDFAST_REDIS")); return err },
		"promtool": func() error { _, err := finder.Promtool(ctx, os.Getenv("HOLDFAST_PROMTOOL")); return err },
		"Jaeger": func() error {
			_, err := finder.Jaeger(ctx, os.Getenv("HOLDFAST_JAEGER_BIN"), filepath.Join("tools", "jaeger"))
			return err
		},
		"the SDKs of others": func() error { _, err := sdks.Fetch(ctx); return err },
	} {
		wg.Go(func() {
			if err := get(); err != nil {
				errs <- fmt.Errorf("getting %s: %w", what, err)
			}
		})
	}
	go func() { wg.Wait(); close(errs) }()
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	return errors.Join(all...)
}
