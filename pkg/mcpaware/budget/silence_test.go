package budget

import (
	"fmt"
	"testing"
	"time"
)

var (
	mumbai = Endpoint{Server: "orders", Address: "127.0.0.1:7101"}
	delhi  = Endpoint{Server: "orders", Address: "127.0.0.1:7102"}
	stock  = Endpoint{Server: "inventory", Address: "127.0.0.1:7101"}
)

const perTry = 800 * time.Millisecond

func TestSilenceExplainsRetries(t *testing.T) {
	for name, c := range map[string]struct {
		history func(*Silence, *clock)
		at      Endpoint
		want    bool
	}{
		"nothing is known": {func(*Silence, *clock) {}, delhi, false},
		"a hung region": {func(s *Silence, c *clock) {
			for range 9 {
				s.Begun(mumbai)
				c.now = c.now.Add(perTry / 8)
			}
		}, delhi, true},
		"an endpoint that fails answers": {func(s *Silence, c *clock) {
			for range 9 {
				s.Begun(mumbai)
				c.now = c.now.Add(perTry / 8)
				s.Heard(mumbai)
			}
			s.Begun(mumbai)
		}, delhi, false},
		"not silent for long enough": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			c.now = c.now.Add(perTry - 1)
		}, delhi, false},
		"the retry goes to the silent one": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			c.now = c.now.Add(perTry)
		}, mumbai, false},
		"both are silent": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			s.Begun(delhi)
			c.now = c.now.Add(perTry)
		}, delhi, false},
		"another server's": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			c.now = c.now.Add(perTry)
		}, stock, false},
		"long out of service": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			c.now = c.now.Add(perTry + recent + 1)
		}, delhi, false},
		"back again": {func(s *Silence, c *clock) {
			s.Begun(mumbai)
			c.now = c.now.Add(perTry)
			s.Heard(mumbai)
		}, delhi, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			s := NewSilence(now.Now)
			c.history(s, now)
			if got := s.Explains(c.at, perTry); got != c.want {
				t.Errorf("explained: %v, want %v", got, c.want)
			}
		})
	}
}

func TestEndpointsAreBounded(t *testing.T) {
	c := newClock()
	s := NewSilence(c.Now)
	begin := func(n int) {
		for i := range n {
			s.Begun(Endpoint{Server: "orders", Address: fmt.Sprint(c.now, i)})
		}
	}
	begin(maxEndpoints)
	s.Begun(mumbai)
	if n := len(*s.known.Load()); n != maxEndpoints {
		t.Errorf("%d endpoints are known, want %d", n, maxEndpoints)
	}
	c.now = c.now.Add(2 * time.Minute)
	s.Begun(mumbai)
	if n := len(*s.known.Load()); n != 1 {
		t.Errorf("%d endpoints are known after all but one are gone", n)
	}
}
