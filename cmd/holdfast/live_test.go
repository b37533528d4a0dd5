package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

func TestLiveBlock(t *testing.T) {
	screen := newTerminal(t)
	say(screen, "before\n")
	block := &liveBlock{out: screen, size: func() (int, int) { return 11, 5 }}
	block.draw([]string{"one", "two", "three"})
	screen.shows("before\none\ntwo\nthree\n")
	block.draw([]string{red + "a line that is too long" + plainText, "x"})
	screen.shows("before\na line tha\nx\n")
	block.draw([]string{"1", "2", "3", "4", "5", "6"})
	screen.shows("before\n1\n2\n3\n4\n")
	block.clear()
	say(screen, "after\n")
	screen.shows("before\nafter\n")
	block.clear()
	screen.shows("before\nafter\n")
}

func TestCutVisible(t *testing.T) {
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"हिंदी", 2, "हि"},
		{red + "abcd" + plainText, 2, red + "ab" + plainText},
		{red + "ab" + plainText + "cd", 3, red + "ab" + plainText + "c"},
		{"", 0, ""},
	} {
		if got := cutVisible(test.text, test.width); got != test.want {
			t.Errorf("%q cut at %d is %q, want %q", test.text, test.width, got, test.want)
		}
	}
}

// testWait is a wait screen on a terminal with a clock that stands still.
func testWait(screen *terminal) *waitScreen {
	began := time.Unix(1000, 0)
	return &waitScreen{
		out: screen, terminal: true, color: true, began: began, now: func() time.Time { return began.Add(1500 * time.Millisecond) },
		block: liveBlock{out: screen, size: func() (int, int) { return 60, 8 }}, said: map[string]string{},
	}
}

func target12() apiclient.Target { return apiclient.Target{Number: 12, Version: newVersion12} }

// TestWaitOnATerminal: the table is drawn over, and gone at the end.
func TestWaitOnATerminal(t *testing.T) {
	screen := newTerminal(t)
	w := testWait(screen)
	update := func(s *adminv1.StatusResponse) { w.update(apiclient.ProgressOf(s, target12())) }
	update(underWay("add"))
	screen.shows("⠋ 0 of 2 nodes have it, rollout: add, 1.5 s\n    envoy-mumbai-1  under way\n    extproc-1       waits for its next step\n")
	w.tick()
	w.lost(errors.New("nobody answers\nat all"))
	screen.shows("⠙ 0 of 2 nodes have it, rollout: add, 1.5 s\n  the connection is lost, trying again: nobody answers at a\n    envoy-mumbai-1  under way\n    extproc-1       waits for its next step\n")
	update(withNack("switch", newVersion12))
	screen.shows("⠙ 1 of 2 nodes have it, rollout: switch, 1.5 s\n  ✗ envoy-mumbai-1  refuses it\n  ✓ extproc-1       has it\n")
	update(badStatusOf12())
	screen.shows("⠙ 0 of 2 nodes have it, rollout: switch, 1.5 s\n    envoy-mumbai-1  silent: it has not answered what it was\n    extproc-1       waits for its next step\n")
	update(crowd())
	if lines := strings.Count(screen.String(), "\n"); lines != 7 {
		t.Errorf("%d lines are on a screen of 8:\n%s", lines, screen)
	}
	if !strings.Contains(screen.String(), "\n    envoy-af        silent") {
		t.Errorf("who has not got it does not come first:\n%s", screen)
	}
	w.end()
	screen.shows("\n")
}

// TestWaitGrace: after a refusal others have three seconds to speak, then it ends.
func TestWaitGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := testWait(newTerminal(t))
		statuses := make(chan seen)
		go func() {
			refusedByOne := withNack("add", newVersion12)
			refusedByOne.Nodes[1].Sync = "pending"
			statuses <- seen{status: underWay("add")}
			statuses <- seen{status: refusedByOne}
			statuses <- seen{lost: errors.New("away")}
			statuses <- seen{status: refusedByOne}
		}()
		began := time.Now()
		progress, err := w.wait(t.Context(), statuses, target12())
		if err != nil || progress.Stage != apiclient.Rejected || time.Since(began) != refusalGrace {
			t.Errorf("%v, stage %d after %v", err, progress.Stage, time.Since(began))
		}
	})
}

// TestWaitEnds: by the limit with what is known, by Ctrl-C and by a refusal of the
// control plane with an error.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		statuses := make(chan seen)
		go func() { statuses <- seen{status: underWay("add")} }()
		progress, err := testWait(newTerminal(t)).wait(limited, statuses, target12())
		if err != nil || progress.Stage != apiclient.Waiting || len(progress.Nodes) != 2 {
			t.Errorf("the limit: %v, %+v", err, progress)
		}
		go func() { statuses <- seen{err: errors.New("no longer allowed")} }()
		if _, err := testWait(newTerminal(t)).wait(t.Context(), statuses, target12()); err == nil || err.Error() != "no longer allowed" {
			t.Errorf("an error: %v", err)
		}
	})
}

// TestWatchOnATerminal: the status screen, drawn over.
func TestWatchOnATerminal(t *testing.T) {
	screen := newTerminal(t)
	w := &watcher{
		out: screen, now: time.Now, said: map[string]string{}, learn: func() map[string]uint64 { return map[string]uint64{oldVersion: 11} },
		block: &liveBlock{out: screen, size: func() (int, int) { return 200, 40 }},
	}
	show := func(s seen) {
		if err := w.see(s); err != nil {
			t.Fatal(err)
		}
		w.show()
	}
	show(seen{status: badStatus()})
	if !strings.Contains(screen.String(), "! envoy-3 refuses routes of revision 12") {
		t.Errorf("it shows\n%s", screen)
	}
	show(seen{status: goodStatus()})
	if got := screen.String(); !strings.HasPrefix(got, "Revision 12, 3 min ago by akhil: Delhi first") || strings.Contains(got, "envoy-3") {
		t.Errorf("it shows\n%s", got)
	}
	show(seen{lost: errors.New("away")})
	if got := screen.String(); !strings.HasPrefix(got, "The control plane does not answer, is asked again: away\n\nRevision 12") {
		t.Errorf("it shows\n%s", got)
	}
}

// TestWatchLines: on anything but a terminal, a line for each change.
func TestWatchLines(t *testing.T) {
	var out strings.Builder
	w := &watcher{out: &out, now: func() time.Time { return time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC) }, said: map[string]string{}}
	show := func(s seen) {
		if err := w.see(s); err != nil {
			t.Fatal(err)
		}
		w.show()
	}
	w.health = []envoyHealth{{err: errors.New("away")}}
	first := goodStatus()
	show(seen{status: first})
	show(seen{status: goodStatus()})
	show(seen{status: withNack("switch", newVersion12)})
	show(seen{lost: errors.New("nobody\nanswers")})
	show(seen{lost: errors.New("nobody\nanswers")})
	refusing := takenBack()
	refusing.Nodes = refusing.Nodes[:1]
	refusing.Refused = &adminv1.Refused{Error: "a.yaml:1:1: no\n", Standing: true}
	show(seen{status: refusing})
	show(seen{status: overtaken()})
	golden(t, "api/watch", out.String())
}
