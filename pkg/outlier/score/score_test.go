package score

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// usual are the defaults that docs/HEALTH.md names.
func usual() Settings {
	return Settings{
		Weights:      map[Part]int{ResponseTime: 40, ErrorRate: 30, Resources: 20, Staleness: 10},
		ResponseTime: Limits{0.1, 0.5}, ErrorRate: Limits{0.001, 0.02},
		CPU: Limits{0.7125, 0.95}, Memory: Limits{0.675, 0.9}, Age: Limits{150, 300},
	}
}

// TestWorkedExample computes the tables of docs/HEALTH.md from the figures in them.
func TestWorkedExample(t *testing.T) {
	data, err := os.ReadFile("../../../docs/HEALTH.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(data), "### A worked example")
	if !found {
		t.Fatal("docs/HEALTH.md has no worked example")
	}
	if next := strings.Index(text, "\n## "); next >= 0 {
		text = text[:next]
	}
	tables := 0
	var in Inputs
	var rows [][]string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "*")
		}
		switch Part(cells[0]) {
		case ResponseTime, ErrorRate, Resources, Staleness:
			measure(t, &in, cells[1])
			rows = append(rows, cells)
		case "score":
			check(t, in, rows, cells[4])
			in, rows = Inputs{}, nil
			tables++
		}
	}
	if tables != 2 {
		t.Errorf("docs/HEALTH.md has %d worked tables, want 2", tables)
	}
}

var figure = regexp.MustCompile(`(?:(CPU|memory) )?([0-9.]+) (ms|s|%)`)

// measure reads what a cell says was measured.
func measure(t *testing.T, in *Inputs, cell string) {
	t.Helper()
	if cell == "missing" {
		return
	}
	found := figure.FindAllStringSubmatch(cell, -1)
	if len(found) == 0 {
		t.Fatalf("no figure in %q", cell)
	}
	for _, f := range found {
		n, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		share := n / 100
		switch f[1] + f[3] {
		case "ms":
			d := time.Duration(n * float64(time.Millisecond))
			in.ResponseTime = &d
		case "s":
			d := time.Duration(n * float64(time.Second))
			in.Age = &d
		case "%":
			in.ErrorRate = &share
		case "CPU%":
			in.CPU = &share
		case "memory%":
			in.Memory = &share
		}
	}
}

func check(t *testing.T, in Inputs, rows [][]string, total string) {
	t.Helper()
	got := Of(in, usual())
	if len(rows) != len(got.Parts) {
		t.Fatalf("%d rows", len(rows))
	}
	for i, p := range got.Parts {
		want := []string{string(p.Part), rows[i][1], tenth(p.Value), tenth(p.Weight) + " %", tenth(p.Value * p.Weight / 100)}
		if !slices.Equal(rows[i], want) {
			t.Errorf("docs/HEALTH.md says %q, and it is %q", rows[i], want)
		}
	}
	if tenth(got.Value) != total {
		t.Errorf("docs/HEALTH.md says %s in all, and it is %s", total, tenth(got.Value))
	}
}

func tenth(x float64) string { return fmt.Sprintf("%.1f", x) }

func TestMissingPartsLeaveTheirWeightToTheOthers(t *testing.T) {
	slow := 300 * time.Millisecond
	got := Of(Inputs{ResponseTime: &slow}, usual())
	if got.Value != 50 || !slices.Equal(got.Missing(), []Part{ErrorRate, Resources, Staleness}) || got.Parts[0].Weight != 100 {
		t.Errorf("%+v", got)
	}
	if got := Of(Inputs{}, usual()); got.Value != 100 || got.Known() || len(got.Missing()) != 4 {
		t.Errorf("nothing measured: %+v", got)
	}
	nan := math.NaN()
	if got := Of(Inputs{CPU: &nan}, usual()); got.Value != 100 || got.Known() {
		t.Errorf("no number: %+v", got)
	}
}

// TestBounds: any input and any settings give a score between 0 and 100, and what gets worse never
// scores more.
func TestBounds(t *testing.T) {
	for seed := range uint64(5000) {
		random := rand.New(rand.NewPCG(seed, 3))
		set := usual()
		for p := range set.Weights {
			set.Weights[p] = random.IntN(101)
		}
		in := Inputs{}
		share := func() *float64 {
			if random.IntN(4) == 0 {
				return nil
			}
			x := random.Float64() * 1.5
			return &x
		}
		span := func(most time.Duration) *time.Duration {
			if random.IntN(4) == 0 {
				return nil
			}
			d := time.Duration(random.Int64N(int64(most)))
			return &d
		}
		in.ResponseTime, in.Age = span(time.Second), span(10*time.Minute)
		in.ErrorRate, in.CPU, in.Memory = share(), share(), share()
		got := Of(in, set)
		sum, weights := 0.0, 0.0
		for _, p := range got.Parts {
			sum += p.Value * p.Weight / 100
			weights += p.Weight
			if p.Missing && p.Weight != 0 {
				t.Fatalf("seed %d: a missing part counts: %+v", seed, got)
			}
		}
		if got.Value < 0 || got.Value > 100 || (weights > 0 && (math.Abs(weights-100) > 1e-6 || math.Abs(sum-got.Value) > 1e-6)) {
			t.Fatalf("seed %d: %+v", seed, got)
		}
		if in.ResponseTime != nil {
			worse := *in.ResponseTime + 50*time.Millisecond
			in.ResponseTime = &worse
			if again := Of(in, set); again.Value > got.Value {
				t.Fatalf("seed %d: slower scores more: %v after %v", seed, again.Value, got.Value)
			}
		}
	}
}
