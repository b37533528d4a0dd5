package demo_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	var wg sync.WaitGroup
	const writers, each = 4, 50
	for w := range writers { // as four processes do, each with a file of its own
		wg.Go(func() {
			j, err := demo.OpenJournal(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() {
				if err := j.Close(); err != nil {
					t.Error(err)
				}
			}()
			for i := range each {
				e := demo.Execution{Time: time.Unix(0, 0).UTC(), Server: "orders", Endpoint: fmt.Sprint(w), Tool: "get_order", CallID: fmt.Sprintf("call-%d", i)}
				if err := j.Append(e); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := demo.ReadJournal(path)
	if err != nil || len(all) != writers*each {
		t.Fatalf("%d executions, %v", len(all), err)
	}
	last := map[string]uint64{}
	for _, e := range all {
		if e.Seq != last[e.Endpoint]+1 {
			t.Fatalf("endpoint %s: %d follows %d", e.Endpoint, e.Seq, last[e.Endpoint])
		}
		last[e.Endpoint] = e.Seq
	}
	counts, err := demo.CountByCall(path, filepath.Join(t.TempDir(), "none"))
	if err != nil || len(counts) != each || counts["call-7"] != writers {
		t.Errorf("%d calls, call-7 ran %d times, %v", len(counts), counts["call-7"], err)
	}
}

func TestJournalOfAServer(t *testing.T) {
	r := serve(t, demo.Orders)
	post(t, r.url, getOrder("mine", "ORD-7701"))
	post(t, r.url, getOrder("", "ORD-7701"))
	post(t, r.url, getOrder(strings.Repeat("x", 1000), "ORD-1"))
	all, err := demo.ReadJournal(r.journal)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	first := all[0]
	if first.CallID != "mine" || first.Server != demo.Orders || first.Endpoint != "primary-mumbai" || first.Region != "asia-south1" ||
		first.Tool != "get_order" || first.Seq != 1 || time.Since(first.Time) > time.Minute {
		t.Errorf("%+v", first)
	}
	for _, e := range all[1:] {
		if !strings.HasPrefix(e.CallID, "generated-") {
			t.Errorf("call id %q", e.CallID)
		}
	}
}

func TestReadJournalRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		n    int
		fail bool
	}{
		"empty":           {"", 0, false},
		"unfinished":      {`{"call_id":"a"}` + "\n" + `{"call_id":`, 1, false},
		"not JSON":        {"x\n", 0, true},
		"unknown members": {`{"x":1}` + "\n", 0, true},
		"a long line":     {`{"call_id":"` + strings.Repeat("x", 1<<20) + `"}` + "\n", 0, true},
	} {
		path := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := demo.ReadJournal(path)
		if len(got) != test.n || (err != nil) != test.fail {
			t.Errorf("%s: %d executions, %v", name, len(got), err)
		}
	}
	if _, err := demo.OpenJournal(filepath.Join(t.TempDir(), "no", "folder")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a journal in a missing folder: %v", err)
	}
}
