package extproc

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestFailureLines: a second has so many lines and no more, and the next one says how many there were.
func TestFailureLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l failureLog
		written := 0
		for range 100 {
			if ok, missed := l.take(time.Now()); ok {
				if written++; missed != 0 {
					t.Errorf("line %d: %d before it", written, missed)
				}
			}
		}
		if written != failureLines {
			t.Errorf("%d lines in a second, want %d", written, failureLines)
		}
		time.Sleep(time.Second)
		if ok, missed := l.take(time.Now()); !ok || missed != 100-failureLines {
			t.Errorf("after it: %v, %d missed", ok, missed)
		}
		if ok, missed := l.take(time.Now()); !ok || missed != 0 {
			t.Errorf("the line after that: %v, %d missed", ok, missed)
		}
	})
}
