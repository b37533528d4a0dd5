package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// reducedConfig: lists come from orders, two tools lead elsewhere.
const reducedConfig = fallbackConfig + `    - {match: {name: restock}, to: {server: archive}, timeout: 3s}
    - {match: {name: audit}, to: {server: archive}, timeout: 3s, degrade: {staticAnswer: {text: "Audits are closed."}}}
    - {match: {name: count}, to: {server: archive}, safe: true, timeout: 3s, fallback: {server: orders, tool: count}}
    - {match: {name: move, arguments: [{pointer: /far, equals: true}]}, to: {server: archive}, timeout: 3s}
    - {match: {name: sell}, safe: true, timeout: 3s}
`

const (
	listHead = `{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"get_order","x":9007199254740993},{"name":"restock"},{"name":"audit"},{"name":"count"}`
	listTail = `],"resultType":"complete","ttlMs":60000,"cacheScope":"public"}}`
	listBody = listHead + `,{"name":"move"},{"name":"sell"}` + listTail
)

// names of the tools of a list, and its mark.
func listed(t *testing.T, got testbed.Answer) (tools []string, mark map[string]any, whole map[string]any) {
	t.Helper()
	body := string(got.Body)
	if at := strings.LastIndex(body, "data: "); at >= 0 {
		body, _, _ = strings.Cut(body[at+len("data: "):], "\n")
	}
	var r struct {
		ID     string         `json:"id"`
		Result map[string]any `json:"result"`
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.ID != "l" || got.Status != http.StatusOK {
		t.Fatalf("status %d, %v: %s", got.Status, err, got.Body)
	}
	list, _ := r.Result["tools"].([]any)
	for _, one := range list {
		tools = append(tools, one.(map[string]any)["name"].(string)) //nolint:forcetypeassert // it is in the test's own list
	}
	meta, _ := r.Result["_meta"].(map[string]any)
	mark, _ = meta["holdfast/degraded"].(map[string]any)
	return tools, mark, r.Result
}

func (p *providers) list(t *testing.T, more string) testbed.Answer {
	t.Helper()
	body := strings.Replace(testbed.CallTool(`"l"`, "x", "{}"), `"method":"tools/call"`, `"method":"tools/list"`, 1)
	body = strings.Replace(body, `"name":"x","arguments":{},`, more, 1)
	answer, err := p.Post("/mcp", testbed.ModernHeaders("tools/list", ""), body)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// TestReducedLists: a list lacks the tools that nobody can call, says so, and is whole again when they can be.
func TestReducedLists(t *testing.T) {
	t.Parallel()
	p := &providers{pair: &pair{mumbai: newUpstream(t, nil), delhi: newUpstream(t, nil)}, archive: newUpstream(t, nil)}
	config := strings.NewReplacer("MUMBAI", p.mumbai.address(), "DELHI", p.delhi.address(), "ARCHIVE", p.archive.address()).Replace(reducedConfig)
	p.Bed = testbed.Start(t, testbed.Options{Servers: []demo.Place{}, Config: config})
	p.set(jsonAnswer(listBody), jsonAnswer(listBody))
	all := []string{"get_order", "restock", "audit", "count", "move", "sell"}
	lacking := func(out ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(out, name) })
	}
	if tools, mark, _ := listed(t, p.list(t, "")); !slices.Equal(tools, all) || mark != nil {
		t.Fatalf("while all is well: %v, %v", tools, mark)
	}
	// Both processors remember it.
	for range 10 {
		p.list(t, "")
	}
	p.archive.sick.Store(true)
	reduced := func(want []string) {
		t.Helper()
		p.Eventually(testbed.Patience, fmt.Sprintf("lists have %v", want), func() error {
			// Each processor finds out by itself: a run of calls meets both.
			for range 8 {
				if tools, _, _ := listed(t, p.list(t, "")); !slices.Equal(tools, want) {
					return fmt.Errorf("there are %v", tools)
				}
			}
			return nil
		})
	}
	reduced(lacking("restock"))
	wantReduced := func(t *testing.T, got testbed.Answer, tools ...string) {
		t.Helper()
		have, mark, result := listed(t, got)
		if !slices.Equal(have, tools) || got.Header.Get("x-holdfast-degraded") != "reduced" || mark["source"] != "reduced" || fmt.Sprint(mark["withheld"]) != "[restock]" {
			t.Errorf("%v, %v, %v", have, mark, got.Header)
		}
		if ttl, _ := result["ttlMs"].(float64); ttl != 5000 {
			t.Errorf("ttlMs %v", result["ttlMs"])
		}
	}
	t.Run("it says so, and nothing else is changed", func(t *testing.T) {
		got := p.list(t, "")
		wantReduced(t, got, lacking("restock")...)
		if !strings.Contains(string(got.Body), `{"name":"get_order","x":9007199254740993},{"name":"audit"}`) {
			t.Errorf("%s", got.Body)
		}
	})
	t.Run("pages stay pages", func(t *testing.T) {
		page := `{"jsonrpc":"2.0","id":"l","result":{"tools":[{"name":"restock"}],"nextCursor":"","resultType":"complete","ttlMs":60000}}`
		p.set(jsonAnswer(page), jsonAnswer(page))
		got := p.list(t, `"cursor":"a",`)
		wantReduced(t, got)
		if _, _, result := listed(t, got); result["nextCursor"] != "" {
			t.Errorf("%s", got.Body)
		}
		p.set(jsonAnswer(listBody), jsonAnswer(listBody))
	})
	t.Run("streams", func(t *testing.T) {
		stream := sseAnswer(": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1,\"progress\":1}}\n\nevent: message\ndata: " + listBody + "\n\n")
		p.set(stream, stream)
		body := p.list(t, "")
		wantReduced(t, body, lacking("restock")...)
		if !strings.Contains(string(body.Body), "notifications/progress") {
			t.Errorf("%s", body.Body)
		}
		p.set(jsonAnswer(listBody), jsonAnswer(listBody))
	})
	t.Run("large lists", func(t *testing.T) {
		large := listHead + `,{"name":"move","description":"` + strings.Repeat("x", 200<<10) + `"},{"name":"sell"}` + listTail
		p.set(jsonAnswer(large), jsonAnswer(large))
		wantReduced(t, p.list(t, ""), lacking("restock")...)
		p.set(jsonAnswer(listBody), jsonAnswer(listBody))
	})
	t.Run("counted and told", func(t *testing.T) {
		total := 0
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			text, err := p.Metrics(p.Addr(name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, `source="reduced"`) {
				total++
			}
		}
		lines := 0
		for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
			for _, line := range p.Child(name).Tail(200) {
				if strings.Contains(line, "tool left out of lists") && strings.Contains(line, `"tool":"restock"`) && strings.Contains(line, `"server":"archive"`) && strings.Contains(line, "cannot be reached") {
					lines++
				}
			}
		}
		if total == 0 || lines == 0 || lines > 2 {
			t.Errorf("%d processors count it, %d lines tell of it", total, lines)
		}
	})
	t.Run("whole again when the server is back", func(t *testing.T) {
		p.archive.sick.Store(false)
		reduced(all)
		if got := p.list(t, ""); got.Header.Get("x-holdfast-degraded") != "" {
			t.Errorf("%v", got.Header)
		}
		p.archive.sick.Store(true)
		reduced(lacking("restock"))
	})
	p.mumbai.Close()
	p.delhi.Close()
	t.Run("with the lists' own server gone, the last list without them", func(t *testing.T) {
		p.Eventually(testbed.Patience, "the remembered list", func() error {
			got := p.list(t, "")
			if got.Header.Get("x-holdfast-degraded") != "stale" {
				return errBody(got.Body)
			}
			return nil
		})
		got := p.list(t, "")
		tools, mark, _ := listed(t, got)
		// The fallback of count is gone, too.
		if !slices.Equal(tools, lacking("restock")) && !slices.Equal(tools, lacking("restock", "count")) || mark["source"] != "stale" || !strings.Contains(fmt.Sprint(mark["withheld"]), "restock") {
			t.Errorf("%v, %v", tools, mark)
		}
	})
}
