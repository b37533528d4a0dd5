// Command dataplane measures what Holdfast costs on the way of a call, as a ratio
// to a plain Envoy in the same run: every row is an Envoy of the same binary with
// one worker and the same routes, and rows take turns. `make bench-data` runs it
// and writes the table of docs/PERFORMANCE.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/parts"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// limit bounds a whole run.
const limit = 30 * time.Minute

// plan is how much is measured.
type plan struct {
	span   time.Duration
	rounds int
	// only measures shapes whose name contains it.
	only string
	// streams is how many idle streams are opened.
	streams int
	// saturate, where not 0, is how long all connections are kept busy instead, to see whether memory grows.
	saturate time.Duration
	// write names a Markdown file that takes the table; empty: none.
	write string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, limit)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "dataplane: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var p plan
	bin := flag.String("bin", "bin", "folder of holdfast, xds and extproc")
	floor := flag.String("floor", "", "serve as the do-nothing processor on this unix socket")
	bootstrap := flag.String("bootstrap", filepath.Join("envoy", "bootstrap.yaml"), "Envoy's bootstrap")
	flag.DurationVar(&p.span, "span", 400*time.Millisecond, "time of one measurement")
	flag.IntVar(&p.streams, "streams", 1000, "idle streams, of which the memory is measured")
	flag.IntVar(&p.rounds, "rounds", 5, "measurements of each row, medians count")
	flag.DurationVar(&p.saturate, "saturate", 0, "measure nothing but whether memory grows under full load for this long")
	flag.StringVar(&p.only, "only", "", "measure only shapes with this in their name")
	flag.StringVar(&p.write, "write", "", "write the table between the marks of this Markdown file")
	flag.Parse()
	if *floor != "" {
		return serveFloor(ctx, *floor)
	}
	programs, err := find(ctx, *bin)
	if err != nil {
		return err
	}
	programs.bootstrap = *bootstrap
	s, err := start(ctx, programs)
	if err != nil {
		return err
	}
	if p.saturate > 0 {
		return errors.Join(saturate(ctx, s, fully(p.saturate)), s.close(context.WithoutCancel(ctx)))
	}
	table, err := measure(ctx, s, p)
	if err := errors.Join(err, s.close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	fmt.Print(table.markdown())
	if p.write != "" {
		if err := table.into(p.write); err != nil {
			return err
		}
	}
	if missed := table.missed(); len(missed) > 0 {
		return fmt.Errorf("required figures are missed:\n  %s", strings.Join(missed, "\n  "))
	}
	return nil
}

func find(ctx context.Context, bin string) (programs, error) {
	self, err := os.Executable()
	if err != nil {
		return programs{}, fmt.Errorf("finding this program: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return programs{}, fmt.Errorf("finding the cache folder: %w", err)
	}
	finder := parts.Finder{
		Configured: os.Getenv("HOLDFAST_ENVOY"), CacheDir: filepath.Join(cache, "holdfast"),
		Progress: func(text string) { fmt.Fprintln(os.Stderr, text) },
	}
	envoy, err := finder.Envoy(ctx)
	if err != nil {
		return programs{}, fmt.Errorf("finding Envoy: %w", err)
	}
	redis, err := finder.Redis(ctx, os.Getenv("HOLDFAST_REDIS"))
	if err != nil {
		return programs{}, fmt.Errorf("finding Redis: %w", err)
	}
	if bin, err = filepath.Abs(bin); err != nil {
		return programs{}, fmt.Errorf("finding the programs: %w", err)
	}
	out := programs{self: self, redis: redis, Programs: stack.Programs{
		Holdfast: filepath.Join(bin, "holdfast"), XDS: filepath.Join(bin, "xds"), Extproc: filepath.Join(bin, "extproc"), Envoy: envoy.Path,
	}}
	if _, err := os.Stat(out.Extproc); err != nil {
		return programs{}, fmt.Errorf("run `make build` first: %w", err)
	}
	return out, nil
}
