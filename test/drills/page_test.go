package drills

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// row is one line of a drill's table.
type row struct {
	what, bound, got string
	held             bool
}

// section is what the page says of one drill.
type section struct {
	name        string
	calibration float64
	rows        []row
	// failed: something else than a row did not hold.
	failed bool
}

//nolint:gochecknoglobals // one page a run
var page struct {
	sync.Mutex
	sections []section
}

func addToPage(s section) {
	page.Lock()
	defer page.Unlock()
	page.sections = append(page.sections, s)
}

const (
	pagePath = "docs/RELIABILITY.md"
	pageHead = `# Reliability

What callers got while parts of Holdfast and of what stands behind it failed. This page is written by the drills themselves: ` + "`make drills`" + `
plays them on a real Envoy, two processors and the demo servers of two regions, with signals to processes, the servers' own faults and a real fault proxy
(Toxiproxy), under 1,000 calls a second of 16 callers. What ran how often is counted in the servers' journals, by the id of each call.

Bounds in time are those of a quiet machine, and what they allow beyond timeouts is multiplied by a calibration: how much slower calls are at that moment
through a plain Envoy that does nothing else, at the same rate, measured right before the drill. Every test run plays the same drills shorter, at 100 calls
a second, and asserts counts, order and ratios.
`
	sectionMark = "\n## "
)

func (s section) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n%s, %s, %d cores, calibration %.2f.\n\n", sectionMark, s.name,
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), s.calibration)
	b.WriteString("| what | bound | measured | |\n| --- | --- | --- | --- |\n")
	for _, r := range s.rows {
		verdict := "held"
		if !r.held {
			verdict = "**not held**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.bound, r.got, verdict)
	}
	if s.failed && !slices.ContainsFunc(s.rows, func(r row) bool { return !r.held }) {
		b.WriteString("\n**The drill failed before its end.**\n")
	}
	return b.String()
}

// writePage puts the sections of this run into the page and leaves those of drills that were not played.
func writePage() error {
	page.Lock()
	defer page.Unlock()
	if !*absolute {
		return errors.New("-write is of no use without -absolute: the page is about the whole load")
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	path := filepath.Join(root, filepath.FromSlash(pagePath))
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept := map[string]string{}
	for _, text := range strings.Split(string(have), sectionMark)[1:] {
		name, _, _ := strings.Cut(text, "\n")
		kept[name] = sectionMark + text
	}
	for _, s := range page.sections {
		kept[s.name] = s.render()
	}
	var out strings.Builder
	out.WriteString(pageHead)
	for _, name := range order {
		out.WriteString(kept[name])
		delete(kept, name)
	}
	for name := range kept {
		return fmt.Errorf("%s: the drill %q has no place in the order of the page", pagePath, name)
	}
	return os.WriteFile(path, []byte(out.String()), 0o644)
}

// moduleRoot is the folder above this one with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		file, open := os.Open(filepath.Join(dir, "go.mod"))
		if open == nil {
			first, _ := bufio.NewReader(file).ReadString('\n')
			_ = file.Close()
			if strings.HasPrefix(first, "module ") {
				return dir, nil
			}
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("there is no go.mod above the tests")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// Names of the drills.
const (
	canaryDrill    = "A bad canary: a fifth of its calls fail"
	crashDrill     = "The primary crashes"
	statusDrill    = "The primary answers 500"
	eventsDrill    = "The primary answers errors in 200, as events"
	jsonDrill      = "The primary answers errors in 200, as JSON"
	hangDrill      = "The primary hangs"
	vanishDrill    = "The primary vanishes: packets to it are dropped"
	slowDrill      = "The primary takes 600 ms longer"
	toolDrill      = "One tool is broken at the primary"
	flapDrill      = "The primary flaps every two seconds"
	allDownDrill   = "Everything is down, then back"
	planeKillDrill = "The control plane is killed again and again"
	planeAwayDrill = "The control plane is away"
	extprocKilled  = "One of two processors is killed"
	extprocHung    = "One of two processors hangs"
	redisDrill     = "Redis is killed, and comes back"
	reopenDrill    = "A region with 200 open sessions is lost, with reinitialize"
	newcomerDrill  = "A newcomer plays `holdfast drill region-loss` on a fresh `make up`"
	lostDrill      = "A region with 200 open sessions is lost, without reinitialize"
)

// order of the drills on the page.
//
//nolint:gochecknoglobals // a table
var order = []string{
	crashDrill, statusDrill, eventsDrill, jsonDrill, hangDrill, vanishDrill, slowDrill, toolDrill, flapDrill, allDownDrill,
	planeKillDrill, planeAwayDrill, extprocKilled, extprocHung, redisDrill, reopenDrill, lostDrill, canaryDrill, newcomerDrill,
}
