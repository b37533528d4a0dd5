package stacktest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// jaegerTimeout bounds the building of Jaeger.
const jaegerTimeout = 15 * time.Minute

// Jaeger returns the path of the Jaeger to test with: HOLDFAST_JAEGER_BIN, or the
// one that tools/jaeger pins, built if need be.
func Jaeger(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("finding a cache folder for Jaeger: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), jaegerTimeout)
	defer cancel()
	finder := parts.Finder{CacheDir: filepath.Join(cache, "holdfast"), Progress: func(text string) { t.Log(text) }}
	found, err := finder.Jaeger(ctx, os.Getenv("HOLDFAST_JAEGER_BIN"), filepath.Join(Root(t), "tools", "jaeger"))
	if err != nil {
		t.Fatalf("this test needs a real Jaeger: %v", err)
	}
	return found.Path
}

// StartJaeger runs a Jaeger on free ports until the test is over.
func StartJaeger(t testing.TB) stack.JaegerOptions {
	t.Helper()
	path := Jaeger(t)
	opts := stack.JaegerOptions{Query: Address(t), OTLPGRPC: Address(t), OTLPHTTP: Address(t)}
	supervisor, err := supervise.New(supervise.Options{LogDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := supervisor.Close(ctx); err != nil {
			t.Errorf("stopping Jaeger: %v", err)
		}
	})
	if err := supervisor.Start(t.Context(), stack.Jaeger(path, opts)); err != nil {
		t.Fatal(err)
	}
	return opts
}
