// Command scale measures the control plane with many servers and many nodes: it starts an
// xds of its own on loopback addresses, connects raw delta-ADS clients that answer as
// Envoys do, and prints how long they take to have everything. `make bench` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// limit bounds a whole run.
const limit = 10 * time.Minute

// plan is what one run measures.
type plan struct {
	servers, clients, changes int
	// envoy checks revisions where it is not empty.
	envoy string
	// calibrate measures the machine between changes.
	calibrate bool
}

// figures are what came of it.
type figures struct {
	compile, firstSync time.Duration
	changes            []time.Duration
	// applies are the parts of changes until the call returned.
	applies []time.Duration
	// cpu is what the control plane ran for between the first and the last change, calls for its
	// status included.
	cpu time.Duration
	// idleKB is the memory before the first client, peakKB the most there was.
	idleKB, peakKB int
	clients        []*client
	// usage after some changes, for growth.
	usage       []usage
	calibration *calibration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var p plan
	xds := flag.String("xds", "bin/xds", "control plane to measure")
	flag.IntVar(&p.servers, "servers", 1000, "MCPServers, each with three regions of one endpoint")
	flag.IntVar(&p.clients, "clients", 50, "nodes that connect at once")
	flag.IntVar(&p.changes, "changes", 100, "changes of one server, one after the other")
	flag.StringVar(&p.envoy, "envoy", "", "Envoy binary that checks every revision (default: no check)")
	var b bounds
	flag.DurationVar(&b.change, "max-change", 0, "p99 from apply to the last ACK that must not be exceeded on a quiet machine (0: any)")
	flag.DurationVar(&b.firstSync, "max-first-sync", 0, "likewise until all clients have everything")
	flag.IntVar(&b.memory, "max-memory", 0, "most `MB` of memory (0: any)")
	flag.Parse()
	p.calibrate = true
	f, err := run(ctx, *xds, p)
	if f != nil {
		f.print(p)
		err = errors.Join(err, b.missed(f))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "scale: %v\n", err)
		stop()
		cancel()
		os.Exit(1) //nolint:gocritic // the contexts have been ended
	}
}

func (f *figures) print(p plan) {
	fmt.Printf("servers %d, endpoints %d, clients %d, changes %d\n", p.servers, p.servers*len(regions), p.clients, p.changes)
	fmt.Printf("start to ready            %s\n", f.compile.Round(time.Millisecond))
	fmt.Printf("first sync of all clients %s\n", f.firstSync.Round(time.Millisecond))
	if len(f.changes) > 0 {
		fmt.Printf("change to last ACK        p50 %s, p99 %s\n", percentile(f.changes, 50), percentile(f.changes, 99))
		fmt.Printf("of which the apply call   p50 %s, p99 %s\n", percentile(f.applies, 50), percentile(f.applies, 99))
	}
	if len(f.changes) > 0 {
		fmt.Printf("CPU of it for a change    %s\n", (f.cpu / time.Duration(len(f.changes))).Round(100*time.Microsecond))
	}
	if len(f.usage) > 1 {
		fmt.Printf("use after changes         %s\n", f.growth())
	}
	if len(f.calibration.took) > 0 {
		fmt.Printf("machine                   %.1f times slower than a quiet one\n", f.calibration.factor())
	}
	fmt.Printf("memory before clients     %d MiB\n", f.idleKB/1024)
	fmt.Printf("memory at most            %d MiB\n", f.peakKB/1024)
}

// percentile is the nearest rank.
func percentile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[(len(sorted)*percent+99)/100-1].Round(time.Millisecond)
}

// run measures once. Everything that it started has ended when it returns.
func run(ctx context.Context, xds string, p plan) (f *figures, err error) {
	dir, err := os.MkdirTemp("", "holdfast-scale-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config := filepath.Join(dir, "config")
	if err := writeConfig(config, p.servers); err != nil {
		return nil, err
	}
	f = &figures{calibration: newCalibration()}
	began := time.Now()
	state := filepath.Join(dir, "state")
	plane, err := startPlane(ctx, xds, config, state, p.envoy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plane.stop()) }()
	if err := plane.ready(ctx); err != nil {
		return nil, err
	}
	f.compile = time.Since(began)
	if f.idleKB, err = plane.peakKB(); err != nil {
		return nil, err
	}
	fleet := newFleet()
	defer fleet.leave()
	began = time.Now()
	if err := fleet.join(plane.xds, p.clients); err != nil {
		return nil, err
	}
	complete := func(c *client) bool { return c.complete(p.servers) }
	if err := fleet.await(ctx, complete); err != nil {
		return nil, fmt.Errorf("first sync: %w", err)
	}
	f.firstSync = time.Since(began)
	if err := f.change(ctx, p, plane, fleet, state); err != nil {
		return nil, err
	}
	f.clients = fleet.clients
	f.peakKB, err = plane.peakKB()
	return f, err
}

// change applies one server again and again, the first time to make it.
func (f *figures) change(ctx context.Context, p plan, plane *plane, fleet *fleet, state string) (err error) {
	for n := 0; n <= p.changes && p.changes > 0; n++ {
		if err := plane.settled(ctx); err != nil {
			return err
		}
		if p.calibrate {
			f.calibration.measure()
		}
		if n > 0 && n%growAfter == 0 {
			if err := f.use(ctx, plane, state, n); err != nil {
				return err
			}
		}
		began := time.Now()
		if err := plane.apply(ctx, n); err != nil {
			return err
		}
		applied := time.Since(began)
		has := func(c *client) bool { return c.complete(p.servers+1) && c.changed == n }
		if err := fleet.await(ctx, has); err != nil {
			return fmt.Errorf("change %d: %w", n, err)
		}
		if n == 0 {
			if f.cpu, err = plane.cpu(); err != nil {
				return err
			}
		} else {
			f.changes = append(f.changes, time.Since(began))
			f.applies = append(f.applies, applied)
		}
	}
	if len(f.changes) > 0 {
		before := f.cpu
		f.cpu, err = plane.cpu()
		f.cpu -= before
	}
	return err
}
