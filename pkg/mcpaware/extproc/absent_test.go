package extproc

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// TestAbsentServers: what is remembered of a server that is out of reach is given out at once, and the server is asked again
// by one call in each while until it answers.
func TestAbsentServers(t *testing.T) {
	t.Parallel()
	inBubble(t, shopmax(), func(t *testing.T, e *envoy) {
		e.remember(t, time.Hour)
		ask := func(body string) (*exchange, string) {
			x := e.open(names.PointEdge)
			x.ask(requestHeaders(false, postHeaders...))
			return x, describe(x.ask(requestBody(body)))
		}
		stale := func(said string) bool {
			return strings.HasPrefix(said, "immediate 200") && strings.Contains(said, "x-holdfast-degraded=stale")
		}
		first, said := ask(listBody)
		if !strings.HasPrefix(said, "request") && !strings.HasPrefix(said, "body") {
			t.Fatalf("a server that nothing is known of: %q", said)
		}
		first.ask(localReply("503", 2, "no_healthy_upstream", 1))
		if _, said := ask(listBody); !stale(said) {
			t.Errorf("a list, once the server was out of reach: %q", said)
		}
		call, said := ask(callBody)
		if stale(said) || strings.HasPrefix(said, "immediate") {
			t.Errorf("a call is not a list: %q", said)
		}
		call.hangUp()
		time.Sleep(absentFor)
		probe, said := ask(listBody)
		if stale(said) {
			t.Errorf("nobody asks the server again: %q", said)
		}
		if _, said := ask(listBody); !stale(said) {
			t.Errorf("two calls ask the server again: %q", said)
		}
		probe.ask(answered(1, false, ":status: 200"))
		next, said := ask(listBody)
		if stale(said) {
			t.Errorf("a list, once the server has answered: %q", said)
		}
		next.hangUp()
	})
}

func TestAbsencesAreBounded(t *testing.T) {
	t.Parallel()
	var a absences
	now := time.Unix(0, 0)
	for i := range maxAbsent + 1 {
		a.found(strconv.Itoa(i), now)
	}
	if !a.skips("0", now) || a.skips(strconv.Itoa(maxAbsent), now) || len(a.until) != maxAbsent {
		t.Errorf("%d servers", len(a.until))
	}
	if a.over("0"); a.skips("0", now) {
		t.Error("a server that has answered is skipped")
	}
}
