package testbed

import (
	"slices"
	"time"
)

const (
	// share of one client's time in which the quicker calls have to be done for the rate to grow.
	share = 0.25
	// sample is of how many calls that is seen.
	sample = 20
)

// pace is how many calls a second a Load sends: as many as the machine could be asked for when it
// began, and half as many again each time that answers are so quick that the machine has time left,
// up to what is wanted. The zero pace is of no use.
type pace struct {
	rate, want int
	took       []time.Duration
}

// take counts a good call.
func (p *pace) take(took time.Duration) {
	if p.rate >= p.want {
		return
	}
	if p.took = append(p.took, took); len(p.took) < max(sample, p.rate) {
		return
	}
	slices.Sort(p.took)
	// A quarter of the calls shows how the machine does even where the others are meant to take long.
	if quick := p.took[len(p.took)/4]; float64(p.rate)*quick.Seconds() < share {
		p.rate = min(p.want, p.rate+p.rate/2)
	}
	p.took = p.took[:0]
}
