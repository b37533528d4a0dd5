package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// board is what processors would have.
type board map[string]*policyv1.CatalogEntry

func (b board) publish(changed map[string]resources.Message, removed []string) error {
	for _, key := range removed {
		delete(b, key)
	}
	for key, m := range changed {
		e, ok := m.(*policyv1.CatalogEntry)
		if !ok {
			return fmt.Errorf("%T", m)
		}
		b[key] = e
	}
	return nil
}

func entry(key, result string, at time.Time) *policyv1.CatalogEntry {
	return &policyv1.CatalogEntry{
		Key: key, Server: "orders", Method: "tools/list", Revision: "2025-11-25", Result: []byte(result), AsOf: timestamppb.New(at),
	}
}

func report(t *testing.T, s *Store, entries ...*policyv1.CatalogEntry) {
	t.Helper()
	if _, err := s.Report(t.Context(), &policyv1.ReportRequest{Entries: entries}); err != nil {
		t.Fatal(err)
	}
}

func TestNewestWins(t *testing.T) {
	b := board{}
	s := New(b.publish, func() time.Time { return epoch }, nil)
	report(t, s, entry("k", `{"n":1}`, epoch.Add(-time.Minute)))
	report(t, s, entry("k", `{"n":2}`, epoch.Add(-2*time.Minute)))
	if got := string(b["k"].GetResult()); got != `{"n":1}` {
		t.Fatalf("an older answer won: %s", got)
	}
	// Ahead of time counts as now, and does not win for ever.
	report(t, s, entry("k", `{"n":3}`, epoch.Add(time.Hour)))
	if got := b["k"].GetAsOf().AsTime(); !got.Equal(epoch) {
		t.Fatalf("as_of %s, want %s", got, epoch)
	}
	epochLater := epoch.Add(time.Second)
	s.now = func() time.Time { return epochLater }
	report(t, s, entry("k", `{"n":4}`, epochLater))
	if got := string(b["k"].GetResult()); got != `{"n":4}` {
		t.Fatalf("result %s", got)
	}
}

func TestBoundsGiveUpTheOldest(t *testing.T) {
	b := board{}
	s := New(b.publish, func() time.Time { return epoch }, nil)
	s.limits = limits{entries: 3, bytes: 1 << 20}
	for i := range 6 {
		report(t, s, entry(fmt.Sprintf("k%d", i), `{}`, epoch.Add(time.Duration(i-10)*time.Second)))
	}
	if got, want := slices.Sorted(maps.Keys(b)), []string{"k3", "k4", "k5"}; !slices.Equal(got, want) {
		t.Fatalf("kept %v, want %v", got, want)
	}
	// One that is older than all is not even passed on.
	report(t, s, entry("ancient", `{}`, epoch.Add(-time.Hour)))
	if _, ok := b["ancient"]; ok || len(s.entries) != 3 {
		t.Fatalf("kept %v", slices.Sorted(maps.Keys(b)))
	}
	large := entry("large", `{"x":"`+strings.Repeat("x", 100)+`"}`, epoch)
	s.limits.bytes = size(large) + size(entry("k5", `{}`, epoch))
	report(t, s, large)
	if got, want := slices.Sorted(maps.Keys(b)), []string{"k5", "large"}; !slices.Equal(got, want) {
		t.Fatalf("kept %v, want %v", got, want)
	}
}

func TestBytesAddUp(t *testing.T) {
	b := board{}
	s := New(b.publish, func() time.Time { return epoch }, nil)
	for i := range 20 {
		report(t, s, entry(fmt.Sprintf("k%d", i%4), fmt.Sprintf(`{"n":%q}`, strings.Repeat("x", i*7)), epoch.Add(time.Duration(i-100)*time.Second)))
	}
	total := 0
	for _, e := range s.entries {
		total += size(e)
	}
	if s.bytes != total {
		t.Fatalf("counted %d bytes, there are %d", s.bytes, total)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		e    *policyv1.CatalogEntry
	}{
		{"nothing", &policyv1.CatalogEntry{}},
		{"no key", entry("", `{}`, epoch)},
		{"wildcard", entry("*", `{}`, epoch)},
		{"long key", entry(strings.Repeat("k", maxNameBytes+1), `{}`, epoch)},
		{"key that is not UTF-8", entry("\xff", `{}`, epoch)},
		{"large result", entry("k", `{"x":"`+strings.Repeat("x", MaxEntryBytes)+`"}`, epoch)},
		{"no object", entry("k", `[]`, epoch)},
		{"cut off", entry("k", `{"tools":[`, epoch)},
		{"empty", entry("k", ``, epoch)},
		{"more after it", entry("k", `{} {}`, epoch)},
		{"no time", &policyv1.CatalogEntry{Key: "k", Server: "s", Method: "m", Revision: "r", Result: []byte(`{}`)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := board{}
			s := New(b.publish, func() time.Time { return epoch }, nil)
			_, err := s.Report(t.Context(), &policyv1.ReportRequest{Entries: []*policyv1.CatalogEntry{entry("good", `{}`, epoch), c.e}})
			if grpcstatus.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "entries[1]") {
				t.Fatalf("error %v", err)
			}
			if len(b) != 0 {
				t.Fatalf("a refused report was kept in part: %v", b)
			}
		})
	}
}

// FuzzTools: lists are what servers answered.
func FuzzTools(f *testing.F) {
	f.Add([]byte(`{"tools":[{"name":"get_order","inputSchema":{"name":"no tool"}},7,{"name":3},[]],"nextCursor":"x"}`))
	f.Add([]byte(`{"tools":{"name":"x"},"tools":[{"name":"a","name":"b"}]}`))
	f.Add([]byte(`{"tools":[{"name":`))
	f.Fuzz(func(t *testing.T, list []byte) {
		known := map[string]jsontext.Value{}
		addTools(known, list)
		if len(known) > len(list)/2 {
			t.Errorf("%d names in %d bytes", len(known), len(list))
		}
	})
}
