package main

import (
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// quietWork is what one piece of work takes on the machine for which the bounds are
	// meant, two cores of it otherwise idle.
	quietWork = 5 * time.Millisecond
	// workBytes is what each core hashes in one piece of work.
	workBytes = 4 << 20
)

// calibration tells how much slower this machine is than that one while it is measured on: by
// itself, or for the work of others.
type calibration struct {
	input []byte
	took  []time.Duration
}

func newCalibration() *calibration { return &calibration{input: make([]byte, workBytes)} }

// measure does one piece of work on every core at once.
func (c *calibration) measure() {
	began := time.Now()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() { sha256.Sum256(c.input) })
	}
	all.Wait()
	c.took = append(c.took, time.Since(began))
}

// factor is 1 for that machine and more for a slower or busier one, by the median. It is never
// less than 1: bounds are not tightened.
func (c *calibration) factor() float64 {
	if len(c.took) == 0 {
		return 1
	}
	sorted := slices.Sorted(slices.Values(c.took))
	return max(1, float64(sorted[len(sorted)/2])/float64(quietWork))
}
