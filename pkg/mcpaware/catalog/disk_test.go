package catalog_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
)

// What one caller was shown outlives the process, for that caller alone to be found.
func TestPrivateListsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	values := func(token string) func(string) []string {
		return func(name string) []string {
			if name == "authorization" {
				return []string{token}
			}
			return nil
		}
	}
	request := catalog.Request{Server: "orders", Method: "tools/list", Revision: "2026-07-28"}
	asha, _ := catalog.Key(request, values("Bearer asha"))
	akhil, _ := catalog.Key(request, values("Bearer akhil"))
	shared, _ := catalog.Key(request, func(string) []string { return nil })
	entry := func(key, result string) *policyv1.CatalogEntry {
		return &policyv1.CatalogEntry{Key: key, Server: "orders", Method: "tools/list", Revision: "2026-07-28", Result: []byte(result), AsOf: timestamppb.New(time.Now().Add(-time.Minute))}
	}
	s := catalog.New(catalog.Options{})
	if err := s.Restore(dir); err != nil {
		t.Fatalf("nothing was saved: %v", err)
	}
	s.Put(entry(asha, `{"tools":[{"name":"of_asha"}]}`))
	s.Put(entry(shared, `{"tools":[{"name":"of_all"}]}`))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Keep(ctx, dir, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "lists.pb")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	again := catalog.New(catalog.Options{})
	if err := again.Restore(dir); err != nil {
		t.Fatal(err)
	}
	got, age, ok := again.Get(asha, time.Hour)
	if !ok || string(got.GetResult()) != `{"tools":[{"name":"of_asha"}]}` || age < time.Minute {
		t.Errorf("%v, %v, %v", got, age, ok)
	}
	for name, key := range map[string]string{"another caller": akhil, "those that all share": shared} {
		if got, _, ok := again.Get(key, time.Hour); ok {
			t.Errorf("%s: %s", name, got.GetResult())
		}
	}
	if !again.HasTool("orders", "of_asha") {
		t.Error("its tools are not known")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := catalog.New(catalog.Options{})
	if err := damaged.Restore(dir); err == nil || damaged.HasTool("orders", "of_asha") {
		t.Errorf("a damaged file: %v", err)
	}
}
