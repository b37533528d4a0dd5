package shift

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/outlier/passive"
)

func settings() Settings {
	return Settings{
		Slowdown: 3, Target: 100 * time.Millisecond, Critical: 500 * time.Millisecond, MinimumCalls: 20, Callers: 98,
		MinHold: 10 * time.Second, MaxHold: 5 * time.Minute, Return: 20 * time.Second,
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// region of fast calls, of which some are slow now.
func region(calls uint64, p95, usual time.Duration) passive.Pace {
	return passive.Pace{Calls: calls, P95: p95, UsualCalls: 1000, Usual: usual}
}

const ms = time.Millisecond

func TestWhoLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		here, there passive.Pace
		nowhere     bool
		want        int
	}{
		"as usual":                     {here: region(100, 60*ms, 50*ms)},
		"three times slower":           {here: region(100, 150*ms, 50*ms), want: 98},
		"three times slower, and fast": {here: region(100, 90*ms, 30*ms)},
		"twice slower":                 {here: region(100, 140*ms, 70*ms)},
		"over the critical time":       {here: region(100, 600*ms, 300*ms), want: 98},
		"always slow":                  {here: region(100, 1100*ms, 1000*ms)},
		"nothing usual yet":            {here: passive.Pace{Calls: 100, P95: 200 * ms, UsualCalls: 5, Usual: 10 * ms}},
		"nothing usual, and critical":  {here: passive.Pace{Calls: 100, P95: 700 * ms}, want: 98},
		"too few calls":                {here: region(19, 900*ms, 50*ms)},
		"nowhere to go":                {here: region(100, 900*ms, 50*ms), nowhere: true},
		"as slow elsewhere":            {here: region(100, 900*ms, 50*ms), there: region(100, 800*ms, 50*ms)},
		"faster elsewhere":             {here: region(100, 900*ms, 50*ms), there: region(100, 60*ms, 50*ms), want: 98},
	} {
		t.Run(name, func(t *testing.T) {
			s := State{}.Step(Input{Here: c.here, There: c.there, Somewhere: !c.nowhere, Well: true}, start, settings())
			if s.Away != c.want || (s.Why == "") != (c.want == 0) {
				t.Errorf("%d away (%q), want %d", s.Away, s.Why, c.want)
			}
		})
	}
}

// play steps once a second and gives the shares away by the second in which they began.
func play(s State, input func(second int, s State) Input, seconds int, set Settings) (State, []int, []int) {
	var at, away []int
	for i := range seconds {
		before := s.Away
		s = s.Step(input(i, s), start.Add(time.Duration(i)*time.Second), set)
		if s.Away != before {
			at, away = append(at, i), append(away, s.Away)
		}
	}
	return s, at, away
}

func slowFor(seconds int) func(int, State) Input {
	return func(i int, s State) Input {
		p95, calls := 50*ms, uint64(100)
		if i < seconds {
			p95 = 650 * ms
		}
		if s.Away == 98 {
			calls = 4
		}
		return Input{Here: region(calls, p95, 50*ms), There: region(100, 55*ms, 50*ms), Somewhere: true, Well: true}
	}
}

func TestGradualReturn(t *testing.T) {
	_, at, away := play(State{}, slowFor(25), 120, settings())
	if !slices.Equal(away, []int{98, 75, 50, 25, 0}) || !slices.Equal(at, []int{0, 30, 35, 40, 45}) {
		t.Errorf("%v away at %v", away, at)
	}
}

// TestTooEarlyDoublesTheWait: where the calls that came back are slow, all leave again and stay away for longer.
func TestTooEarlyDoublesTheWait(t *testing.T) {
	var lefts []int
	set := settings()
	s, at, away := play(State{}, func(i int, s State) Input {
		in := slowFor(0)(i, s)
		// Slow under load only.
		if s.Away < 98 && i < 400 {
			in.Here.P95 = 650 * ms
		}
		return in
	}, 400, set)
	for i := range away {
		if away[i] == 98 {
			lefts = append(lefts, at[i])
		}
	}
	if len(lefts) < 4 || len(lefts) > 7 {
		t.Errorf("left at %v", lefts)
	}
	for i := 2; i < len(lefts); i++ {
		if lefts[i]-lefts[i-1] <= lefts[i-1]-lefts[i-2] {
			t.Errorf("left at %v: the waits do not grow", lefts)
		}
	}
	if s.hold(set) < 80*time.Second || s.hold(set) > set.MaxHold {
		t.Errorf("hold %s", s.hold(set))
	}
}

// TestInVain: where it is no better elsewhere, callers come back at once and stay for longer.
func TestInVain(t *testing.T) {
	s, at, away := play(State{}, func(_ int, s State) Input {
		in := Input{Here: region(100, 650*ms, 50*ms), Somewhere: true, Well: true}
		if s.Away > 0 {
			in.Here.Calls, in.There = 4, region(100, 640*ms, 600*ms)
		}
		return in
	}, 60, settings())
	if !slices.Equal(away, []int{98, 0, 98, 0}) || !slices.Equal(at, []int{0, 10, 30, 50}) || s.Relapses != 2 {
		t.Errorf("%v away at %v, %+v", away, at, s)
	}
}

func TestNobodyStaysAndProbesDecide(t *testing.T) {
	silent := func(well int) func(int, State) Input {
		return func(i int, s State) Input {
			in := slowFor(100)(i, s)
			if s.Away > 0 {
				in.Here = passive.Pace{}
			}
			in.Well = i >= well
			return in
		}
	}
	if _, at, _ := play(State{}, silent(0), 60, settings()); len(at) < 2 || at[1] != 10 {
		t.Errorf("well all the time: %v", at)
	}
	if _, at, _ := play(State{}, silent(35), 60, settings()); len(at) < 2 || at[1] != 40 {
		t.Errorf("well after 35 seconds: %v", at)
	}
}

// TestRandomCalls: whatever calls say, the share is one of the steps, and nobody comes back before the hold is over.
func TestRandomCalls(t *testing.T) {
	set := settings()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 5))
		var s State
		now := start
		for range 500 {
			now = now.Add(time.Duration(500+random.IntN(2000)) * time.Millisecond)
			pace := func() passive.Pace {
				return region(uint64(random.IntN(60)), time.Duration(random.IntN(900))*ms, time.Duration(1+random.IntN(200))*ms)
			}
			before := s
			in := Input{Here: pace(), There: pace(), Somewhere: random.IntN(20) > 0, Well: random.IntN(2) == 0}
			s = s.Step(in, now, set)
			if !slices.Contains([]int{0, 25, 50, 75, 98}, s.Away) || (s.Away > 0) == s.Began.IsZero() {
				t.Fatalf("seed %d: %+v", seed, s)
			}
			if s.Away < before.Away && in.Somewhere && now.Before(before.Until) {
				t.Fatalf("seed %d: back before the hold: %+v after %+v", seed, s, before)
			}
			if hold := s.hold(set); hold < set.MinHold || hold > set.MaxHold {
				t.Fatalf("seed %d: hold %s", seed, hold)
			}
		}
	}
}
