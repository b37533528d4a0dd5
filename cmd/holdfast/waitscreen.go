package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

// waitScreen shows a rollout: a live table on terminals, elsewhere a line for each
// thing that changes. It is not safe for concurrent use.
type waitScreen struct {
	out      io.Writer
	terminal bool
	color    painter
	began    time.Time
	now      func() time.Time
	block    liveBlock

	progress apiclient.Progress
	trouble  string
	frame    int
	// said are the lines that were written last, by node; "" is the phase.
	said map[string]string
}

func newWaitScreen(env *environment, began time.Time) *waitScreen {
	return &waitScreen{
		out: env.Stdout, terminal: isTerminal(env.Stdout), color: env.painter(env.Stdout), began: began, now: time.Now,
		block: liveBlock{out: env.Stdout, size: func() (int, int) { return terminalSize(env.Stdout) }},
		said:  map[string]string{},
	}
}

// update shows a new progress.
func (w *waitScreen) update(p apiclient.Progress) {
	w.progress, w.trouble = p, ""
	if w.terminal {
		w.block.draw(w.lines())
		return
	}
	if p.Phase != "" {
		w.once("", "rollout: "+oneLine(p.Phase))
	}
	for _, n := range p.Nodes {
		w.once(n.GetId(), fmt.Sprintf("%s: %s", oneLine(n.GetId()), standing(n, p.Canaries)))
	}
}

// lost says that the control plane is away for the moment.
func (w *waitScreen) lost(err error) {
	w.trouble = "the connection is lost, trying again: " + oneLine(err.Error())
	if w.terminal {
		w.block.draw(w.lines())
		return
	}
	w.once("connection", w.trouble)
}

// tick moves what moves without news.
func (w *waitScreen) tick() {
	if w.terminal {
		w.frame++
		w.block.draw(w.lines())
	}
}

// end leaves nothing of the live table, since the verdict says it all.
func (w *waitScreen) end() {
	if w.terminal {
		w.block.clear()
	}
}

// once writes a line unless it is what was said last about a thing.
func (w *waitScreen) once(about, line string) {
	if w.said[about] != line {
		w.said[about] = line
		say(w.out, "  %s\n", line)
	}
}

// lines of the live table: those who have not got it come first.
func (w *waitScreen) lines() []string {
	holding, width := 0, 0
	nodes := slices.Clone(w.progress.Nodes)
	for _, n := range nodes {
		width = max(width, len([]rune(oneLine(n.GetId()))))
		if n.Holds {
			holding++
		}
	}
	slices.SortStableFunc(nodes, func(a, b apiclient.NodeProgress) int { return urgency(a) - urgency(b) })
	phase := w.progress.Phase
	if phase == "" {
		phase = "waiting for its turn"
	}
	head := fmt.Sprintf("%c %d of %d nodes have it, rollout: %s, %s", spinnerFrame(w.frame), holding, len(nodes), oneLine(phase), seconds(w.now().Sub(w.began)))
	out := []string{head}
	if w.trouble != "" {
		out = append(out, "  "+w.color.paint(yellow, w.trouble))
	}
	for _, n := range nodes {
		mark := " "
		switch {
		case n.Refuses:
			mark = w.color.paint(red, "✗")
		case n.Holds:
			mark = w.color.paint(green, "✓")
		}
		out = append(out, fmt.Sprintf("  %s %-*s  %s", mark, width, oneLine(n.GetId()), standing(n, w.progress.Canaries)))
	}
	return out
}

func urgency(n apiclient.NodeProgress) int {
	switch {
	case n.Refuses:
		return 0
	case n.Holds:
		return 2
	default:
		return 1
	}
}

// standing is a node's part in a rollout, in words that do not change by the second.
func standing(n apiclient.NodeProgress, canaries []string) string {
	held := len(canaries) > 0 && !slices.Contains(canaries, n.GetId())
	switch {
	case n.Refuses:
		return "refuses it"
	case n.Holds:
		return "has it"
	case n.GetSync() == apiclient.SyncSilent:
		return "silent: it has not answered what it was sent"
	case n.GetSync() == apiclient.SyncRejected:
		return "refuses an earlier revision"
	case n.GetLate():
		return "late: the rollout does not wait for it"
	case held && n.GetKind() == apiclient.KindEnvoy:
		return "held back until the canaries have it"
	case n.GetSync() == apiclient.SyncPending:
		return "under way"
	default:
		return "waits for its next step"
	}
}
