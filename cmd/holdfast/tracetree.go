package main

import (
	"slices"
	"strings"

	"github.com/holdfast-mcp/holdfast/pkg/telemetry/jaeger"
)

const (
	// maxTraceRows bounds what is drawn; -o json has all.
	maxTraceRows = 200
	// maxTraceDepth is where children are no longer moved to the right.
	maxTraceDepth = 10
)

// traceNode is a span at its place in the tree.
type traceNode struct {
	*jaeger.Span
	// branch are the lines in front of its name.
	branch string
	// orphan: it has a parent that is not in the trace.
	orphan bool
}

// traceTree puts the spans of a trace in the order of a tree, parents first and children by
// their start, each span once whatever parents they name.
// Spans that skip names are left out, and what hangs on them takes their place.
func traceTree(t *jaeger.Trace, skip func(*jaeger.Span) bool) []traceNode {
	byID := make(map[string]int, len(t.Spans))
	for i := range t.Spans {
		if _, taken := byID[t.Spans[i].ID]; !taken {
			byID[t.Spans[i].ID] = i
		}
	}
	walk := treeWalk{spans: t.Spans, skip: skip, children: make([][]int, len(t.Spans)), seen: make([]bool, len(t.Spans))}
	var roots []int
	for i := range t.Spans {
		if parent, ok := byID[t.Spans[i].Parent]; ok && parent != i {
			walk.children[parent] = append(walk.children[parent], i)
		} else {
			roots = append(roots, i)
		}
	}
	for _, i := range walk.without(roots) {
		walk.visit(i, nil, false)
	}
	// Spans that are each other's parents hang on no root.
	for i := range t.Spans {
		for _, j := range walk.without([]int{i}) {
			walk.visit(j, nil, false)
		}
	}
	for i := range walk.out {
		parent := walk.out[i].Parent
		if _, known := byID[parent]; parent != "" && !known {
			walk.out[i].orphan = true
		}
	}
	return walk.out
}

type treeWalk struct {
	spans    []jaeger.Span
	skip     func(*jaeger.Span) bool
	children [][]int
	seen     []bool
	out      []traceNode
}

// visit adds a span and what hangs on it. last says of its nearest ancestors but the root, and of
// itself, whether each is the last child; deep that there are more than those.
func (w *treeWalk) visit(i int, last []bool, deep bool) {
	if w.seen[i] {
		return
	}
	w.seen[i] = true
	w.out = append(w.out, traceNode{Span: &w.spans[i], branch: branch(last, deep)})
	if len(last) == maxTraceDepth {
		last, deep = last[1:], true
	}
	children := w.without(w.children[i])
	for n, child := range children {
		w.visit(child, append(last[:len(last):len(last)], n == len(children)-1), deep)
	}
}

// without puts the children of spans that are left out in their place.
func (w *treeWalk) without(spans []int) []int {
	out := make([]int, 0, len(spans))
	for rest := slices.Clone(spans); len(rest) > 0; {
		i := rest[0]
		rest = rest[1:]
		switch {
		case w.seen[i]:
		case w.skip(&w.spans[i]):
			w.seen[i] = true
			rest = append(slices.Clone(w.children[i]), rest...)
		default:
			out = append(out, i)
		}
	}
	slices.SortStableFunc(out, func(a, b int) int { return w.spans[a].Start.Compare(w.spans[b].Start) })
	return out
}

func branch(last []bool, deep bool) string {
	if len(last) == 0 {
		return ""
	}
	var out strings.Builder
	if deep {
		out.WriteString("… ")
	}
	for _, isLast := range last[:len(last)-1] {
		out.WriteString(map[bool]string{true: "  ", false: "│ "}[isLast])
	}
	out.WriteString(map[bool]string{true: "└ ", false: "├ "}[last[len(last)-1]])
	return out.String()
}
