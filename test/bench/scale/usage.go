package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is what a control plane has at one moment.
type usage struct {
	changes, memoryKB int
	// heapBytes is the size at which the heap is collected: twice what was in use last time.
	heapBytes, goroutines, diskBytes int64
}

// use notes what the control plane has after so many changes.
func (f *figures) use(ctx context.Context, p *plane, state string, changes int) error {
	kb, err := p.memoryKB("VmRSS")
	if err != nil {
		return err
	}
	u := usage{changes: changes, memoryKB: kb}
	if err := p.gauges(ctx, map[string]*int64{"go_memstats_next_gc_bytes": &u.heapBytes, "go_goroutines": &u.goroutines}); err != nil {
		return err
	}
	err = filepath.WalkDir(state, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			u.diskBytes += info.Size()
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("measuring the state directory: %w", err)
	}
	f.usage = append(f.usage, u)
	return nil
}

// gauges reads some of the control plane's metrics that have no labels.
func (p *plane) gauges(ctx context.Context, into map[string]*int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		return fmt.Errorf("reading the metrics: %w", err)
	}
	resp, err := (&http.Client{Transport: p.transport}).Do(req)
	if err != nil {
		return fmt.Errorf("reading the metrics: %w", err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("reading the metrics: %w", err)
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if to, ok := into[name]; ok {
			number, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("reading the metrics: %w", err)
			}
			*to = int64(number)
			found++
		}
	}
	if found != len(into) {
		return fmt.Errorf("reading the metrics: %d of %d are there", found, len(into))
	}
	return nil
}

// grown says what there is too much more of than there was.
func grown(first, last usage) error {
	var errs []error
	for _, of := range []struct {
		what     string
		from, to int64
		unit     string
	}{
		{"memory", int64(first.memoryKB), int64(last.memoryKB), "KiB"},
		{"the heap", first.heapBytes, last.heapBytes, "bytes"},
		{"the number of goroutines", first.goroutines, last.goroutines, ""},
		{"the state directory", first.diskBytes, last.diskBytes, "bytes"},
	} {
		if float64(of.to) > maxGrowth*float64(of.from) {
			errs = append(errs, fmt.Errorf("%s grew from %s after %d changes to %s after %d", of.what,
				strings.TrimSpace(fmt.Sprint(of.from, " ", of.unit)), first.changes, strings.TrimSpace(fmt.Sprint(of.to, " ", of.unit)), last.changes))
		}
	}
	return errors.Join(errs...)
}

// growth is one line about the usage noted.
func (f *figures) growth() string {
	parts := make([]string, 0, len(f.usage))
	for _, u := range f.usage {
		parts = append(parts, fmt.Sprintf("%d: %d MiB, heap %d MiB, %d goroutines, %d KiB on disk",
			u.changes, u.memoryKB/1024, u.heapBytes>>20, u.goroutines, u.diskBytes/1024))
	}
	return strings.Join(parts, "; ")
}
