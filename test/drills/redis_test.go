package drills

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// TestRedis: the Redis that counts rate limits is killed and comes back with nothing in its memory. No call
// fails for it, limits go on to hold, and each processor says so once.
func TestRedis(t *testing.T) {
	beside(t)
	redis, child := stacktest.StartRedis(t)
	d := start(t, redisDrill, testbed.Options{Config: policedConfig, ExtprocArgs: []string{"--redis", redis}})
	d.shared("1")
	d.begin(policed)
	killed, err := child.Kill()
	if err != nil {
		t.Fatal(err)
	}
	d.shared("0")
	d.last(5*time.Second, 2)
	if err := child.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.shared("1")
	d.last(3*time.Second, 1)
	calls := d.load.Stop()
	d.atMost("calls failed", d.failures(calls, killed), 0, "of "+number(count(calls, free)))
	d.unpoliced()
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		log, err := os.ReadFile(filepath.Join(d.Dir, "logs", name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		away, back := bytes.Count(log, []byte("Redis is away")), bytes.Count(log, []byte(`"after_absence":true`))
		d.holds("lines in the log of "+name, "1 away, 1 back", number(away)+" away, "+number(back)+" back", away == 1 && back == 1)
	}
}

// shared returns when both processors know of each other, and say that Redis counts for them (1) or does not (0).
func (d *exercise) shared(state string) {
	d.t.Helper()
	d.Until(patience, "both processors say that Redis is shared: "+state, func() bool {
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			text, err := d.Metrics(d.Addr(name))
			if err != nil || !strings.Contains(text, "\nholdfast_limit_redis_shared "+state+"\n") || !strings.Contains(text, "\nholdfast_fleet_processors 2\n") {
				return false
			}
		}
		return true
	})
}
