package catalog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/catalog"
)

func TestToolsOfLists(t *testing.T) {
	s := catalog.New(catalog.Options{})
	at := time.Now().Add(-time.Hour)
	put := func(server, method, result string) {
		at = at.Add(time.Second)
		s.Put(&policyv1.CatalogEntry{Key: server + method, Server: server, Method: method, Result: []byte(result), AsOf: timestamppb.New(at)})
	}
	put("orders", "tools/list", `{"x":[{"name":"no"}],"tools":[{"inputSchema":{"name":"no"},"name":"get_order"},1,{"name":2},{"name":"cancel_order"}]}`)
	put("orders", "prompts/list", `{"tools":[{"name":"no"}],"prompts":[{"name":"no"}]}`)
	put("inventory", "tools/list", `{"tools":{"name":"no"}}`)
	for tool, want := range map[string]bool{"get_order": true, "cancel_order": true, "no": false, "": false} {
		if got := s.HasTool("orders", tool); got != want {
			t.Errorf("%q: %v", tool, got)
		}
	}
	if s.HasTool("inventory", "get_order") || s.HasTool("inventory", "no") {
		t.Error("tools of another server, or of no list")
	}
	// A list without the tool makes no invention of it.
	put("orders", "tools/list", `{"tools":[{"name":"new"}]}`)
	if !s.HasTool("orders", "get_order") || !s.HasTool("orders", "new") || s.Tools("orders") != 3 {
		t.Errorf("%d tools", s.Tools("orders"))
	}
}

func TestToolsAreBounded(t *testing.T) {
	s := catalog.New(catalog.Options{})
	var list strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&list, `,{"name":"t%d"}`, i)
	}
	s.Put(&policyv1.CatalogEntry{Key: "k", Server: "orders", Method: "tools/list", Result: []byte(`{"tools":[` + list.String()[1:] + `]}`), AsOf: timestamppb.Now()})
	if n := s.Tools("orders"); n != 10_000 {
		t.Errorf("%d tools", n)
	}
}
