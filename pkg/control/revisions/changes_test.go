package revisions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
)

func TestChanges(t *testing.T) {
	mail, orders, stock := doc("mail", "1"), doc("orders", "1"), doc("stock", "1")
	first := read(t, revisions.Set{}, file("a.yaml", mail, orders))
	second := read(t, apply(t, first, doc("search", "1")), file("a.yaml", doc("orders", "2"), stock))
	rolled := back(t, second, first)
	deleted := read(t, first, file("a.yaml", orders))
	tests := map[string]struct {
		from, to revisions.Set
		want     []string
	}{
		"nothing":            {second, second, nil},
		"the first revision": {revisions.Set{}, first, []string{"+ MCPServer/mail", "+ MCPServer/orders"}},
		"all three":          {first, second, []string{"- MCPServer/mail", "~ MCPServer/orders", "+ MCPServer/search", "+ MCPServer/stock"}},
		"a rollback": {second, rolled, []string{
			"+ MCPServer/mail (pinned)", "~ MCPServer/orders (pinned)", "- MCPServer/search", "- MCPServer/stock (kept out)",
		}},
		"the end of pins": {rolled, read(t, rolled, file("b.yaml", doc("mail", "2"), orders, doc("stock", "2"))), []string{
			"~ MCPServer/mail (moved to b.yaml, no longer pinned)", "~ MCPServer/orders (moved to b.yaml, no longer pinned)", "+ MCPServer/stock (no longer kept out)",
		}},
		"what was kept out is deleted": {rolled, read(t, rolled, file("a.yaml", doc("orders", "2"))), []string{"~ MCPServer/orders (no longer pinned)", "~ MCPServer/stock (no longer kept out)"}},
		"what is kept out moves":       {rolled, read(t, rolled, file("b.yaml", doc("orders", "2"), stock)), []string{"~ MCPServer/orders (moved to b.yaml)", "~ MCPServer/stock (kept out, moved to b.yaml)"}},
		"another line":                 {first, read(t, first, file("a.yaml", orders, mail)), nil},
		"another file":                 {first, read(t, first, file("a.yaml", mail), file("b.yaml", orders)), []string{"~ MCPServer/orders (moved to b.yaml)"}},
		"another owner":                {back(t, deleted, first), apply(t, back(t, deleted, first), mail), []string{"~ MCPServer/mail (now of the api, no longer pinned)"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, revisions.Changes(test.from, test.to)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// many gives a set of n resources of the API with texts of a size.
func many(n, size int, says string) revisions.Set {
	var s revisions.Set
	for i := range n {
		text := strings.Repeat(says+"\n", size/(len(says)+1))
		s.Resources = append(s.Resources, revisions.Resource{Ref: ref(fmt.Sprintf("s%05d", i)), Owner: revisions.API, YAML: text})
	}
	return s
}

func TestChangesAreBounded(t *testing.T) {
	got := revisions.Changes(revisions.Set{}, many(revisions.MaxChanges+7, 10, "x"))
	if len(got) != revisions.MaxChanges+1 || got[revisions.MaxChanges] != "… and 7 more" {
		t.Errorf("got %d lines, the last one %q", len(got), got[len(got)-1])
	}
}

func TestDiff(t *testing.T) {
	long := "kind: MCPServer\nmetadata: {name: orders}\nspec:\n  path: /mcp\n  regions:\n    - name: asia-south1\n      endpoints:\n        - {address: 127.0.0.1:7101}\n"
	server := func(name, text string) revisions.Resource {
		return revisions.Resource{Ref: ref(name), Owner: revisions.API, YAML: text}
	}
	from := revisions.Set{Resources: []revisions.Resource{server("mail", "kind: x\n"), server("orders", long), server("same", "a: b\n")}}
	to := revisions.Set{Resources: []revisions.Resource{server("orders", strings.Replace(long, "7101", "7102", 1)), server("same", "a: b\n"), server("stock", "kind: y")}}
	const want = `--- MCPServer/mail
+++ /dev/null
@@ -1,1 +0,0 @@
-kind: x
--- MCPServer/orders
+++ MCPServer/orders
@@ -5,4 +5,4 @@
   regions:
     - name: asia-south1
       endpoints:
-        - {address: 127.0.0.1:7101}
+        - {address: 127.0.0.1:7102}
--- /dev/null
+++ MCPServer/stock
@@ -0,0 +1,1 @@
+kind: y
\ No newline at end of file
`
	if diff := cmp.Diff(want, revisions.Diff(from, to)); diff != "" {
		t.Error(diff)
	}
	if got := revisions.Diff(from, from); got != "" {
		t.Errorf("a set differs from itself:\n%s", got)
	}
}

func TestDiffIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		to      revisions.Set
		missing int
	}{
		"many resources": {many(100, 10<<10, "line"), 79},
		"a large one":    {many(1, 1<<20, "line"), 1},
		"one long line":  {many(1, 1<<20, strings.Repeat("x", 1<<20-1)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := revisions.Diff(revisions.Set{}, test.to)
			last := fmt.Sprintf("\n[cut at 256KiB: %d resources not shown, or not whole]\n", test.missing)
			if !strings.HasSuffix(got, last) {
				t.Errorf("it ends with %q", got[max(0, len(got)-100):])
			}
			if len(got) > revisions.MaxDiffBytes+len(last) {
				t.Errorf("it has %d bytes", len(got))
			}
		})
	}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.FixedZone("IST", 19800))

func TestNext(t *testing.T) {
	content := apply(t, revisions.Set{}, doc("orders", "1"))
	one, err := revisions.Next(nil, content, revisions.Origin{Version: "v1", Author: "directory", Time: noon})
	if err != nil {
		t.Fatal(err)
	}
	two, err := revisions.Next(&one, revisions.Set{}, revisions.Origin{Version: "v2", Author: "अनुराधा रा\u200Dय", Reason: "an end", Time: noon, Base: 1, RollbackOf: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := []revisions.Header{
		{Number: 1, Version: "v1", Author: "directory", Time: noon.UTC(), Changes: []string{"+ MCPServer/orders"}},
		{Number: 2, Version: "v2", Author: "अनुराधा रा\u200Dय", Reason: "an end", Time: noon.UTC(), Base: 1, RollbackOf: 1, Changes: []string{"- MCPServer/orders"}},
	}
	if diff := cmp.Diff(want, []revisions.Header{one.Header, two.Header}); diff != "" {
		t.Error(diff)
	}
}

func TestNextRefuses(t *testing.T) {
	newest := &revisions.Revision{Header: revisions.Header{Number: 6}}
	for want, origin := range map[string]revisions.Origin{
		"a revision needs an author":                                              {},
		"the author has more than 256 bytes":                                      {Author: strings.Repeat("a", 257)},
		"the reason has more than 1024 bytes":                                     {Author: "a", Reason: strings.Repeat("a", 1025)},
		"the reason is not UTF-8 text":                                            {Author: "a", Reason: "\xff"},
		"the author has characters that cannot be shown on one line":              {Author: "a\x1b[2J"},
		"the reason has characters that cannot be shown on one line":              {Author: "a", Reason: "one\ntwo"},
		"the version has characters that cannot be shown on one line":             {Author: "a", Version: "\u202E"},
		"revision 7 cannot build on revision 7":                                   {Author: "a", Base: 7},
		"revision 7 cannot build on revision 8":                                   {Author: "a", RollbackOf: 8},
		"the author has more than 256 bytes\nthe version has more than 256 bytes": {Author: strings.Repeat("a", 257), Version: strings.Repeat("a", 257)},
	} {
		if got, err := revisions.Next(newest, revisions.Set{}, origin); err == nil || err.Error() != want || got.Number != 0 {
			t.Errorf("got %v, %v, want %s", got.Number, err, want)
		}
	}
}

func TestCheckBase(t *testing.T) {
	set := apply(t, revisions.Set{}, "kind: MCPServer\nmetadata: {name: orders}\n"+strings.TrimPrefix(doc("orders", ""), "kind: MCPServer # \nmetadata: {name: orders}\n"))
	base := &revisions.Revision{Header: revisions.Header{Number: 3}}
	newest := revisions.Revision{Header: revisions.Header{Number: 5}, Set: set}
	const text = "the base revision is not the newest one: it is "
	tests := map[string]struct {
		number uint64
		base   *revisions.Revision
		want   string
	}{
		"not checked":       {0, nil, ""},
		"the newest":        {5, nil, ""},
		"an older one":      {3, base, text + "3, the newest is 5, and this has changed since:\n--- /dev/null\n+++ MCPServer/orders\n@@ -0,0 +1,3 @@\n+kind: MCPServer\n"},
		"an equal one":      {3, &revisions.Revision{Header: revisions.Header{Number: 3}, Set: set}, text + "3, the newest is 5; nothing differs between their documents"},
		"a forgotten one":   {2, nil, text + "2, the newest is 5; the base is not in the history any more, so what has changed since is not known"},
		"one of the future": {6, nil, text + "6, the newest is 5; there is no such revision"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := revisions.CheckBase(test.number, test.base, newest)
			if test.want == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			var stale *revisions.StaleError
			if !errors.Is(err, revisions.ErrStale) || !errors.As(err, &stale) || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v\nwant %s", err, test.want)
			}
			if stale.Base != test.number || stale.Newest != 5 || stale.Known != (test.base != nil) {
				t.Errorf("got %+v", stale)
			}
			if wanted := test.base == base; slices.Equal(stale.Changes, []string{"+ MCPServer/orders"}) != wanted {
				t.Errorf("changes since are %v", stale.Changes)
			}
		})
	}
}

func TestFilesSayWhereTheProblemIs(t *testing.T) {
	route := func(path, server string) string {
		return "kind: MCPRoute\nmetadata: {name: r" + path + "}\nspec: {path: /" + path + ", servers: [{name: " + server + "}]}\n"
	}
	old := read(t, revisions.Set{}, file("routes.yaml", route("a", "one"), route("b", "two")))
	now := read(t, old, file("routes.yaml", route("a", "changed"), route("b", "two")))
	s := apply(t, back(t, now, old), "# of the API\n"+route("c", "three"))
	_, err := s.Config()
	const want = `routes.yaml:7:35: spec.servers[0].name: there is no MCPServer "two"
routes.yaml (pinned MCPRoute/ra):3:35: spec.servers[0].name: there is no MCPServer "one"
api:MCPRoute/rc:4:35: spec.servers[0].name: there is no MCPServer "three"`
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		if p.Pos.Line > 0 {
			got = append(got, p.String())
		}
	}
	slices.Sort(got)
	wanted := strings.Split(want, "\n")
	slices.Sort(wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

func TestValidate(t *testing.T) {
	file := revisions.Resource{Ref: ref("a"), Owner: revisions.Directory, File: "a.yaml", Line: 1}
	other := file
	other.Name = "b"
	out := revisions.Absence{Ref: ref("a"), File: "a.yaml", Line: 1, Overrides: revisions.DigestOf("x")}
	with := func(change func(*revisions.Resource)) revisions.Set {
		r := file
		change(&r)
		return revisions.Set{Resources: []revisions.Resource{r}}
	}
	for want, s := range map[string]revisions.Set{
		"MCPServer/a is twice in the set, or not in its place":  {Resources: []revisions.Resource{other, file}},
		"MCPServer/b is twice in the set, or not in its place":  {Resources: []revisions.Resource{other, other}},
		"MCPServer/a is kept out twice, or not in its place":    {Absent: []revisions.Absence{out, out}},
		"MCPServer/a is in the set and kept out of it":          {Resources: []revisions.Resource{file}, Absent: []revisions.Absence{out}},
		"MCPServer/b is kept out of nowhere":                    {Absent: []revisions.Absence{{Ref: ref("b"), File: "a.yaml"}}},
		"MCPServer/ has no kind or no name":                     with(func(r *revisions.Resource) { r.Name = "" }),
		"MCPServer/a has no owner":                              with(func(r *revisions.Resource) { r.Owner = 3 }),
		"MCPServer/a has a negative line":                       with(func(r *revisions.Resource) { r.Line = -1 }),
		"MCPServer/a belongs to the directory but to no file":   with(func(r *revisions.Resource) { r.File = "" }),
		"MCPServer/a belongs to the API and to a file":          with(func(r *revisions.Resource) { r.Owner = revisions.API }),
		"MCPServer/a overrides a document without being pinned": with(func(r *revisions.Resource) { r.Overrides = out.Overrides }),
		"MCPServer/a is pinned to what the directory says":      with(func(r *revisions.Resource) { r.Pinned, r.Overrides = true, revisions.DigestOf("") }),
	} {
		if err := s.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
