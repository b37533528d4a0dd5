package drill

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	labelWidth  = 58
	figureWidth = 11
)

// Text is the report for people, beside the one of the last run where that is not nil.
func (r *Report) Text(last *Report, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Drill %s: %s\n", r.Drill, r.Says)
	fmt.Fprintf(&b, "  %s, %s\n", r.Endpoint, r.Started.Format("2006-01-02 15:04:05 MST"))
	fmt.Fprintf(&b, "  %d callers made %d calls a second. %s; after %s %s.\n\n", r.Callers, r.Rate, r.Did, seconds(r.BrokenForMS), r.Undid)
	t := table{b: &b, compare: last != nil}
	if last != nil {
		t.line("", "this run", "last run", "("+ago(now.Sub(last.Started))+" ago)")
	} else {
		last = &Report{}
	}
	r.timesText(&t, last)
	r.callsText(&t, last)
	for _, text := range r.Failures {
		fmt.Fprintf(&b, "  failed: %s\n", oneLine(text))
	}
	b.WriteString("\n")
	if len(r.Broken) == 0 {
		b.WriteString("As promised: " + r.promise() + ".\n")
	}
	for _, text := range r.Broken {
		fmt.Fprintf(&b, "Not as promised: %s.\n", text)
	}
	return b.String()
}

func (r *Report) promise() string {
	text := "no call failed that may run twice"
	if r.Calls.SafeFailed > 0 {
		text = "at most one call in a thousand failed"
	}
	if r.Calls.ExecutedTwice != nil {
		text += ", and none ran twice that must not"
	}
	return text
}

func (r *Report) timesText(t *table, last *Report) {
	by := ""
	if r.DetectedBy != "" {
		by = "by " + oneLine(r.DetectedBy)
	}
	t.line("the failure was noticed after", took(r.DetectedMS), took(last.DetectedMS), by)
	t.line("a call made after it was answered well after", took(r.FirstGoodMS), took(last.FirstGoodMS), "")
	t.line("all was as before, after the mending, within", took(r.RecoveredMS), took(last.RecoveredMS), "")
	t.line("99 of 100 good answers came within, before it", took(&r.P99BeforeMS), took(&last.P99BeforeMS), "")
	t.line("  and while it lasted", took(&r.P99MeanwhileMS), took(&last.P99MeanwhileMS), "")
	t.line("the slowest call that may run twice took, while it lasted", took(&r.SlowestMS), took(&last.SlowestMS), "")
}

func (r *Report) callsText(t *table, last *Report) {
	now, then := r.Calls, last.Calls
	t.count("calls made", now.Made, then.Made, "")
	t.count("  answered well", now.Good, then.Good, fmt.Sprintf("(%d of them after more than one try)", now.Retried))
	t.count("  degraded: an older or another answer, marked as such", sum(now.Degraded), sum(then.Degraded), classes(now.Degraded))
	t.count("  failed", sum(now.Failed), sum(then.Failed), "")
	names := slices.Sorted(maps.Keys(now.Failed))
	for _, class := range names {
		t.count("    "+oneLine(class), now.Failed[class], then.Failed[class], "")
	}
	t.count("  failed and may run twice", now.SafeFailed, then.SafeFailed, "(none should)")
	if now.Unsafe == 0 {
		return
	}
	t.count("calls that must not run twice", now.Unsafe, then.Unsafe, "")
	t.count("  failed: \"not executed\"", now.NotExecuted, then.NotExecuted, "")
	t.count("  failed: \"outcome unknown\"", now.Unknown, then.Unknown, "(they were under way when it broke)")
	if now.ExecutedTwice == nil {
		t.line("  ran twice", "not known", "", "(the servers keep no journals)")
		return
	}
	twice := 0
	if then.ExecutedTwice != nil {
		twice = *then.ExecutedTwice
	}
	t.count("  ran twice, by the servers' journals", *now.ExecutedTwice, twice, "(must be 0)")
}

func classes(counts map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s: %d", oneLine(name), counts[name]))
	}
	return strings.Join(out, ", ")
}

// table writes a label and one or two figures a line.
type table struct {
	b       *strings.Builder
	compare bool
}

func (t *table) line(label, now, then, more string) {
	text := fmt.Sprintf("  %-*s %*s", labelWidth, label, figureWidth, now)
	if t.compare {
		text += fmt.Sprintf(" %*s", figureWidth, then)
	}
	if more != "" {
		text += "  " + more
	}
	t.b.WriteString(strings.TrimRight(text, " ") + "\n")
}

func (t *table) count(label string, now, then int, more string) {
	t.line(label, strconv.Itoa(now), strconv.Itoa(then), more)
}

func took(ms *int64) string {
	if ms == nil {
		return "never"
	}
	return fmt.Sprintf("%d ms", *ms)
}

func seconds(ms int64) string {
	return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) + " s" //nolint:mnd // milliseconds
}

func ago(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d/day))
	}
}

const maxShown = 300

// oneLine keeps text of servers from moving the cursor or filling the screen.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}
