package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/span"
	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

const (
	// plainWidth is that of what goes into files and pipes.
	plainWidth = 140
	// minBar and maxBar are the least and the most that the bars take of a line.
	minBar, maxBar = 10, 48
	// columnGap is the space between two columns.
	columnGap = 2
	// maxLinkRows and maxCell bound what links and cells take.
	maxLinkRows = 8
	maxCell     = 120
)

// drawTrace is the picture of a trace, for lines of width columns. all has also the spans of Envoy's streams
// to the processors, which last as long as what the processors say of them.
func drawTrace(t *jaeger.Trace, width int, all bool, color painter) string {
	skipped := 0
	nodes := traceTree(t, func(s *jaeger.Span) bool {
		skip := !all && s.Service == envoyService && strings.HasPrefix(s.Name, processorStream) && !s.Failed()
		if skip {
			skipped++
		}
		return skip
	})
	scale := scaleOf(t)
	var out strings.Builder
	id, title, between := cut(oneLine(t.ID), maxCell), traceTitle(t, scale), "  "
	if cells("Trace "+id+between+title) > width {
		between = "\n"
	}
	fmt.Fprintf(&out, "Trace %s%s%s\n\n", color.paint(bold, id), between, title)
	shown := nodes[:min(len(nodes), maxTraceRows)]
	columns := traceColumns(shown, scale)
	bar := fit(columns, width)
	for i := range shown {
		out.WriteString(traceRow(columns, i, &shown[i], scale, bar, color))
	}
	if hidden := len(nodes) - len(shown); hidden > 0 {
		fmt.Fprintf(&out, "and %s that -o json has\n", counted(hidden, "span"))
	}
	if notes := traceNotes(t, shown, skipped); notes != "" {
		out.WriteString("\n" + notes)
	}
	return out.String()
}

// processorStream begins the names of Envoy's spans around its streams to the processors.
const processorStream = "async envoy.service.ext_proc."

// timeScale is what bars are drawn along.
type timeScale struct {
	start time.Time
	total time.Duration
}

func scaleOf(t *jaeger.Trace) timeScale {
	s := timeScale{start: t.Spans[0].Start}
	for i := range t.Spans {
		s.total = max(s.total, t.Spans[i].Start.Add(t.Spans[i].Duration).Sub(s.start))
	}
	return s
}

func traceTitle(t *jaeger.Trace, s timeScale) string {
	services := map[string]bool{}
	for i := range t.Spans {
		services[t.Spans[i].Service] = true
	}
	return fmt.Sprintf("%s of %s, %s, %s", counted(len(t.Spans), "span"), counted(len(services), "service"), took(s.total), s.start.Format("2006-01-02 15:04:05"))
}

// column is one column of the picture.
type column struct {
	// cells are its texts, short what can take their place where room is short; nil for none.
	cells, short []string
	// width and the least that it may be cut to; a column of width 0 is left out.
	width, least int
	// right aligned.
	right bool
}

// columns of a picture, by their place.
const (
	colName = iota
	colService
	colPlace
	colOutcome
	colStart
	colTook
)

// traceColumns are all columns but the bars.
func traceColumns(nodes []traceNode, s timeScale) []column {
	out := make([]column, colTook+1)
	out[colName].least, out[colPlace].least, out[colOutcome].least = 16, 10, 12
	out[colStart].right, out[colTook].right = true, true
	for i := range nodes {
		n := &nodes[i]
		for at, text := range map[int]string{
			colName: n.branch + cut(oneLine(n.Name), maxCell), colService: cut(oneLine(n.Service), maxCell), colPlace: placeOf(n.Span),
			colOutcome: outcomeOf(n.Span), colStart: "+" + took(n.Start.Sub(s.start)), colTook: took(n.Duration),
		} {
			out[at].cells = append(out[at].cells, text)
		}
		out[colPlace].short = append(out[colPlace].short, shortPlaceOf(n.Span))
	}
	for i := range out {
		out[i].width = widest(out[i].cells)
		if out[i].least == 0 || out[i].least > out[i].width {
			out[i].least = out[i].width
		}
	}
	return out
}

// fit makes columns narrow enough for a line and returns the room that is left for the bars. When a span began
// is seen in its bar and goes first, then a place's region; then who sent it, and at last the widest
// columns give way.
func fit(columns []column, width int) (bar int) {
	room := func() int {
		left := width
		for i := range columns {
			if columns[i].width > 0 {
				left -= columns[i].width + columnGap
			}
		}
		return left
	}
	for _, step := range []int{colStart, colPlace, colService} {
		if c := &columns[step]; room() < minBar {
			c.cells, c.width = c.short, widest(c.short)
			c.least = min(c.least, c.width)
		}
	}
	for room() < minBar {
		most := -1
		for i := range columns {
			if c := &columns[i]; c.width > c.least && (most < 0 || c.width > columns[most].width) {
				most = i
			}
		}
		if most < 0 {
			return minBar
		}
		columns[most].width--
	}
	return min(room(), maxBar)
}

func widest(texts []string) int {
	n := 0
	for _, text := range texts {
		n = max(n, cells(text))
	}
	return n
}

func traceRow(columns []column, row int, n *traceNode, s timeScale, bar int, color painter) string {
	var line strings.Builder
	for i := range columns {
		c := &columns[i]
		if c.width == 0 {
			continue
		}
		text := cutCells(c.cells[row], c.width)
		pad := strings.Repeat(" ", c.width-cells(text))
		switch {
		case i == colName:
			branch := cutCells(n.branch, c.width)
			text = color.paint(dim, branch) + nameColor(n.Span, color, strings.TrimPrefix(text, branch))
		case i == colOutcome && n.Failed():
			text = color.paint(red, text)
		case i == colOutcome && n.Tags[string(span.Verdict)] == verdictGood:
			text = color.paint(green, text)
		case i == colService, i == colStart:
			text = color.paint(dim, text)
		}
		if c.right {
			text = pad + text
		} else {
			text += pad
		}
		line.WriteString(text + strings.Repeat(" ", columnGap))
	}
	before, length := barOf(n.Span, s, bar)
	mark, tint := "█", cyan
	if n.Failed() {
		mark, tint = "▒", red
	}
	line.WriteString(strings.Repeat(" ", before) + color.paint(tint, strings.Repeat(mark, length)) + "\n")
	return line.String()
}

func nameColor(s *jaeger.Span, color painter, text string) string {
	if s.Failed() {
		return color.paint(red, text)
	}
	return text
}

// barOf is where a span's bar begins and how long it is, at least one column.
func barOf(n *jaeger.Span, s timeScale, width int) (before, length int) {
	if s.total <= 0 {
		return 0, 1
	}
	at := func(d time.Duration) int { return int(min(max(float64(d)/float64(s.total), 0), 1) * float64(width)) }
	before = min(at(n.Start.Sub(s.start)), width-1)
	return before, max(1, min(at(n.Start.Sub(s.start)+n.Duration)-before, width-before))
}

// verdictGood is the verdict on an answer that is one.
const verdictGood = "good"

// placeOf is where a span was: a region and an endpoint, or an address.
func placeOf(s *jaeger.Span) string {
	region, endpoint := s.Tags[string(span.Region)], s.Tags[string(span.Endpoint)]
	switch {
	case endpoint != "" && region != "":
		return cut(oneLine(endpoint+", "+region), maxCell)
	case endpoint != "" || region != "":
		return cut(oneLine(endpoint+region), maxCell)
	}
	return cut(oneLine(s.Tags["upstream_address"]), maxCell)
}

// shortPlaceOf is placeOf without the region.
func shortPlaceOf(s *jaeger.Span) string {
	if endpoint := s.Tags[string(span.Endpoint)]; endpoint != "" {
		return cut(oneLine(endpoint), maxCell)
	}
	return placeOf(s)
}

// outcomeOf is what became of a span, in few words: ✗ and the kind of error first where it failed.
func outcomeOf(s *jaeger.Span) string {
	var words []string
	add := func(format string, values ...any) { words = append(words, fmt.Sprintf(format, values...)) }
	tag := func(key string) string { return s.Tags[key] }
	if try := tag(string(span.Attempt)); try != "" {
		add("try %s", try)
	}
	if verdict := tag(string(span.Verdict)); verdict != "" {
		add("%s", verdict)
	}
	// An answer of Holdfast's own says why; its kind of error says no more.
	reason := tag(string(span.Reason))
	if kind := tag("error.type"); reason != "" {
		add("%s", reason)
	} else if kind != "" && !slices.Contains(words, kind) {
		add("%s", kind)
	}
	if source := tag(string(span.Degraded)); source != "" && source != degrade.SourceError {
		add("degraded: %s", source)
	}
	if limit := tag(string(span.Limit)); limit != "" {
		add("limit %s", limit)
	}
	if tries := tag(string(span.Attempts)); tries != "" && tries != "1" && tries != "0" {
		add("%s tries", tries)
	}
	for _, one := range []struct{ key, word string }{
		{string(span.BreakerOpen), "not"}, {string(span.BreakerHalfOpen), "not"}, {string(span.BreakerTrial), "trial of"},
	} {
		if regions := strings.NewReplacer(`["`, "", `"]`, "", `","`, ", ").Replace(tag(one.key)); regions != "" {
			add("%s %s", one.word, regions)
		}
	}
	if status := cmp.Or(tag("http.status_code"), tag("http.response.status_code")); len(words) == 0 && status != "" && status != "0" {
		add("%s", status)
	}
	if flags := tag("response_flags"); flags != "" && flags != "-" {
		for flag := range strings.SplitSeq(flags, ",") {
			add("%s", inWords(flag))
		}
	}
	text := cut(oneLine(strings.Join(words, ", ")), maxCell)
	if s.Failed() {
		return strings.TrimSpace("✗ " + text)
	}
	return text
}

// traceNotes are what the tree has no place for: links, and parents that are elsewhere.
func traceNotes(t *jaeger.Trace, nodes []traceNode, skipped int) string {
	links := map[string]int{}
	var order []string
	callers := false
	for i := range nodes {
		callers = callers || nodes[i].orphan && i == 0
		for _, link := range nodes[i].Links {
			if link.TraceID == t.ID {
				continue
			}
			if links[link.TraceID]++; links[link.TraceID] == 1 {
				order = append(order, link.TraceID)
			}
		}
	}
	var out strings.Builder
	for i, id := range order {
		if i == maxLinkRows {
			fmt.Fprintf(&out, "and links to %s\n", counted(len(order)-i, "more trace"))
			break
		}
		fmt.Fprintf(&out, "linked with trace %s, %s\n", cut(oneLine(id), maxCell), counted(links[id], "time"))
	}
	if callers {
		out.WriteString("the first span has a parent that is not here: the caller's own\n")
	}
	if skipped > 0 {
		fmt.Fprintf(&out, "%s of Envoy's streams to the processors left out; --all shows them\n", counted(skipped, "span"))
	}
	return out.String()
}

// inWords is one of Envoy's response flags as people say it.
func inWords(flag string) string {
	switch flag {
	case "UF":
		return "connection failed"
	case "UC", "UR":
		return "connection broke"
	case "UT":
		return "timed out"
	case "UH":
		return "no healthy endpoint"
	case "UO":
		return "circuit breaker"
	case "URX":
		return "no tries left"
	case "DC":
		return "caller went away"
	case "NR":
		return "no route"
	}
	return flag
}

// took is a time with three digits that count.
func took(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 10:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 10_000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}
