package testbed

import (
	"testing"
	"time"
)

// TestPace: a Load goes faster where calls are answered quickly, be some of them meant to take long, up to what is
// wanted, and never where they are not.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name        string
		quick, slow time.Duration
		want        int
	}{
		{"a machine with time left", time.Millisecond, 2 * time.Millisecond, 150},
		{"calls that are meant to take long among them", time.Millisecond, time.Second, 150},
		{"a busy machine", 30 * time.Millisecond, 40 * time.Millisecond, 10},
		{"one that can do somewhat more", 10 * time.Millisecond, 20 * time.Millisecond, 33},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pace{rate: 10, want: 150}
			for n := range 2000 {
				took := c.quick
				if n%3 == 2 {
					took = c.slow
				}
				p.take(took)
			}
			if p.rate != c.want {
				t.Errorf("%d calls a second, want %d", p.rate, c.want)
			}
		})
	}
}
