package tier

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func settings() Settings {
	return Settings{
		Shed: 30 * time.Second, Eject: time.Minute, Promote: 5 * time.Minute,
		MinHold: 10 * time.Second, MaxHold: 5 * time.Minute, Return: 40 * time.Second,
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// walk steps once a second through verdicts, and gives the tiers by the second in which they began.
func walk(s State, verdicts func(second int) Verdict, seconds int, set Settings) (State, []string) {
	var moves []string
	for i := range seconds {
		before := s.Tier
		now := start.Add(time.Duration(i) * time.Second)
		s = s.Step(verdicts(i), now, now, set)
		if s.Tier != before {
			moves = append(moves, fmt.Sprintf("%d %s", i, s.Tier))
		}
	}
	return s, moves
}

func TestTiersFollowTheTime(t *testing.T) {
	for name, c := range map[string]struct {
		verdicts func(int) Verdict
		seconds  int
		want     []string
	}{
		"well": {func(int) Verdict { return Good }, 1000, nil},
		"bad for ever": {func(int) Verdict { return Bad }, 1000, []string{
			"0 watched", "30 shedding", "60 ejected", "300 abandoned",
		}},
		"strained for ever": {func(int) Verdict { return Strained }, 1000, []string{"0 watched", "30 shedding"}},
		"strained, then bad": {func(i int) Verdict {
			if i < 500 {
				return Strained
			}
			return Bad
		}, 1000, []string{"0 watched", "30 shedding", "560 ejected", "800 abandoned"}},
		"bad for a moment": {func(i int) Verdict {
			if i == 5 {
				return Bad
			}
			return Good
		}, 100, []string{"5 watched", "16 steady"}},
		"bad for 45 seconds": {func(i int) Verdict {
			if i < 45 {
				return Bad
			}
			return Good
		}, 100, []string{"0 watched", "30 shedding", "55 steady"}},
		"good only for less than the hold": {func(i int) Verdict {
			if i%8 < 4 {
				return Bad
			}
			return Good
		}, 100, []string{"0 watched", "32 shedding", "64 ejected"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := walk(State{}, c.verdicts, c.seconds, settings()); !slices.Equal(got, c.want) {
				t.Errorf("moves %q, want %q", got, c.want)
			}
		})
	}
}

// TestBoundariesAreTheServers: each boundary is where the settings put it.
func TestBoundariesAreTheServers(t *testing.T) {
	set := settings()
	set.Shed, set.Eject, set.Promote = 3*time.Second, 7*time.Second, 11*time.Second
	_, got := walk(State{}, func(int) Verdict { return Bad }, 20, set)
	if want := []string{"0 watched", "3 shedding", "7 ejected", "11 abandoned"}; !slices.Equal(got, want) {
		t.Errorf("moves %q, want %q", got, want)
	}
}

// TestTimeBeforeItWasCertainCounts: what several probes were needed for began with the first of them.
func TestTimeBeforeItWasCertainCounts(t *testing.T) {
	s := State{}.Step(Bad, start.Add(-40*time.Second), start, settings())
	if s.Tier != Shedding || !s.BadSince.Equal(start.Add(-40*time.Second)) {
		t.Errorf("%+v", s)
	}
}

// TestFlapping: one that comes and goes every two seconds is ejected once, and each further episode
// holds it longer, up to the cap.
func TestFlapping(t *testing.T) {
	set := settings()
	ejections := 0
	_, moves := walk(State{}, func(i int) Verdict {
		if i/2%2 == 0 {
			return Bad
		}
		return Good
	}, 600, set)
	for _, m := range moves {
		var at int
		var tier string
		if _, err := fmt.Sscanf(m, "%d %s", &at, &tier); err != nil {
			t.Fatal(err)
		}
		if tier == "ejected" {
			ejections++
		}
	}
	if ejections != 1 {
		t.Errorf("ejected %d times: %q", ejections, moves)
	}
	var s State
	now := start
	var holds []time.Duration
	for range 8 {
		s = s.Step(Bad, now, now, set)
		from := now
		for s.Tier != Steady {
			now = now.Add(time.Second)
			s = s.Step(Good, now, now, set)
		}
		// The first good look is a second after the bad one.
		holds = append(holds, now.Sub(from)-time.Second)
		now = now.Add(time.Second)
	}
	want := []time.Duration{10, 20, 40, 80, 160, 300, 300, 300}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(holds, want) {
		t.Errorf("holds %v, want %v", holds, want)
	}
	now = now.Add(set.MaxHold)
	if s = s.Step(Good, now, now, set); s.Relapses != 0 {
		t.Errorf("after a long while without a relapse %d are remembered", s.Relapses)
	}
}

func TestCallsComeBackInSteps(t *testing.T) {
	set := settings()
	s := State{Tier: Steady, Worst: Ejected, EndedAt: start}
	var got []int
	for i := range 50 {
		got = append(got, s.Returning(start.Add(time.Duration(i)*time.Second), set))
	}
	if steps := slices.Compact(got); !slices.Equal(steps, []int{10, 25, 50, 75, 100}) {
		t.Errorf("steps %v", steps)
	}
	s.Worst = Watched
	if got := s.Returning(start, set); got != 100 {
		t.Errorf("one that lost no calls has %d back", got)
	}
}

// TestRandomHistories: whatever an endpoint does, tiers only rise within an episode, none is
// reached before its time, and no episode ends before the hold is over.
func TestRandomHistories(t *testing.T) {
	set := settings()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		var s State
		now := start
		verdict := Good
		bad, lastBad := time.Time{}, time.Time{}
		for step := range 400 {
			now = now.Add(time.Duration(1+random.IntN(5000)) * time.Millisecond)
			if random.IntN(4) == 0 {
				verdict = Verdict(random.IntN(3))
			}
			before := s
			s = s.Step(verdict, now, now, set)
			if bad.IsZero() && verdict != Good {
				bad = now
			}
			if verdict != Good {
				lastBad = now
			}
			name := fmt.Sprintf("seed %d, step %d: %+v after %+v", seed, step, s, before)
			switch {
			case s.Tier > before.Tier && verdict == Good:
				t.Fatalf("%s: a good look made it worse", name)
			case s.Tier > Shedding && s.Tier > before.Tier && verdict != Bad:
				t.Fatalf("%s: taken out without a failed layer", name)
			case s.Tier >= Shedding && now.Sub(bad) < set.Shed, s.Tier >= Ejected && now.Sub(bad) < set.Eject, s.Tier == Abandoned && now.Sub(bad) < set.Promote:
				t.Fatalf("%s: too early, it is bad since %s", name, bad)
			case s.Tier < before.Tier && s.Tier != Steady:
				t.Fatalf("%s: a tier was given back", name)
			case s.Tier == Steady && before.Tier != Steady:
				if now.Sub(lastBad) < min(before.Hold(set), set.MinHold) {
					t.Fatalf("%s: well again %s after the last bad look", name, now.Sub(lastBad))
				}
				bad = time.Time{}
			}
			if hold := s.Hold(set); hold < set.MinHold || hold > set.MaxHold {
				t.Fatalf("%s: hold %s", name, hold)
			}
		}
	}
}

func TestNeverTooManyAreTakenOut(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 9))
		region := make([]Candidate, 1+random.IntN(8))
		wanted := 0
		for i := range region {
			region[i] = Candidate{Name: fmt.Sprint(i), Tier: Tier(random.IntN(5)), Score: float64(random.IntN(3)), Since: start.Add(time.Duration(random.IntN(3)) * time.Second)}
			if region[i].Tier >= Ejected {
				wanted++
			}
		}
		bounds := Bounds{MaxEjected: random.IntN(101), Panic: random.IntN(101)}
		elsewhere := random.IntN(2) == 0
		out := Eject(region, elsewhere, bounds)
		panics := !elsewhere && (len(region)-wanted)*100 < bounds.Panic*len(region)
		want := min(wanted, len(region)*bounds.MaxEjected/100)
		if panics {
			want = 0
		}
		if len(out) != want {
			t.Fatalf("seed %d: %d of %d out with %+v, elsewhere %v, want %d", seed, len(out), len(region), bounds, elsewhere, want)
		}
		for _, i := range out {
			if region[i].Tier < Ejected {
				t.Fatalf("seed %d: %+v is out", seed, region[i])
			}
			for j, other := range region {
				if other.Tier >= Ejected && other.Score < region[i].Score && !slices.Contains(out, j) {
					t.Fatalf("seed %d: %+v is out and %+v is not", seed, region[i], other)
				}
			}
		}
	}
}
