package play

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Colours of a terminal (ECMA-48 SGR).
const (
	colorReset = "\x1b[0m"
	colorGood  = "\x1b[32m"
	colorBad   = "\x1b[31m"
	colorWarn  = "\x1b[33m"
	colorDim   = "\x1b[2m"
)

// answerWidth is the column in which times begin, after the arrow.
const answerWidth = 37

// printer writes the play. Write errors are let go: whoever stopped reading
// still wants the servers restored.
type printer struct {
	out    io.Writer
	colors bool
}

func newPrinter(out io.Writer, colors bool) *printer { return &printer{out: out, colors: colors} }

func (p *printer) paint(color, text string) string {
	if !p.colors {
		return text
	}
	return color + text + colorReset
}

func (p *printer) line(text string) { _, _ = fmt.Fprintln(p.out, text) }

// note is about the play, not part of it.
func (p *printer) note(text string) { p.line(p.paint(colorDim, text)) }

// event is a blow.
func (p *printer) event(what string) { p.line(p.paint(colorWarn, "-- "+what+" --")) }

// call shows one call and its answer.
func (p *printer) call(o Outcome) {
	question := fmt.Sprintf("Tool: %s({\"order_id\":%q})  → ", toolName, o.OrderID)
	if o.Tool == neighbourName {
		question = fmt.Sprintf("Tool: %-34s  → ", neighbourName+"({})")
	}
	if !o.Good {
		color := colorBad
		if o.Degraded {
			color = colorWarn
		}
		p.line(question + p.paint(color, oneLine(describe(o))))
		return
	}
	answer := fmt.Sprintf("%s, %d", o.Status, o.TotalRs)
	if o.Tool == neighbourName {
		answer = fmt.Sprintf("%d orders", o.Orders)
	}
	via := "  [via " + o.Via + "]"
	pad := strings.Repeat(" ", max(0, answerWidth-utf8.RuneCountInString(answer+via)))
	tail := fmt.Sprintf("%s%s", pad, milliseconds(o.Took()))
	if o.Attempts > 1 {
		tail += fmt.Sprintf("   (%d attempts)", o.Attempts)
	}
	p.line(question + p.paint(colorGood, answer) + via + tail)
}

// maxShown bounds the characters of a text that others wrote.
const maxShown = 300

// oneLine keeps text of servers from moving the cursor or filling the screen.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "…"
	}
	return text
}

// milliseconds says "3 ms", with the number padded to be aligned by the unit.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%5d ms", d.Round(time.Millisecond).Milliseconds())
}

// count and took are rows of a summary.
func (p *printer) count(label string, n int, more string) {
	p.line(strings.TrimRight(fmt.Sprintf("  %-52s %9s  %s", label, grouped(n), more), " "))
}

func (p *printer) took(label string, d time.Duration) {
	value := "never"
	if d != none {
		value = strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	}
	p.line(fmt.Sprintf("  %-52s %9s", label, value))
}

func (p *printer) summary(s Summary) {
	p.line("")
	p.line(fmt.Sprintf("%d callers, %d calls a second, %.1f s", s.Callers, s.Rate, s.Lasted.Seconds()))
	count, took := p.count, p.took
	count("calls made", s.Calls, "")
	count("good", s.Good, fmt.Sprintf("(%s of them after more than one attempt)", grouped(s.Retried)))
	count("degraded, while both servers were down", s.Degraded, "")
	count("failed", s.Failed, "")
	took("first good answer after the first kill", s.AfterPrimaryKilled)
	took("first meaningful answer after the second kill", s.AfterBothKilled)
	took("first good answer after both were started again", s.AfterBothStarted)
	took("good answers: half of them within", s.P50)
	took("good answers: 99 of 100 within", s.P99)
	p.line("")
	p.verdict(s.FirstFailures, s.Broken, "no safe call failed")
}

// verdict ends a summary.
func (p *printer) verdict(failures, broken []string, promise string) {
	for _, text := range failures {
		p.line(p.paint(colorBad, "  failed: "+oneLine(text)))
	}
	if len(broken) == 0 {
		p.line(p.paint(colorGood, "As promised: "+promise+"."))
		return
	}
	for _, text := range broken {
		p.line(p.paint(colorBad, "Not as promised: "+text+"."))
	}
}

// grouped writes n with a comma between each three digits.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(d)
	}
	return out.String()
}
