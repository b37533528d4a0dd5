package resources

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// config writes a route configuration as "host:route,route host:…"; a route that
// begins with a capital has a stamp.
func config(text string) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{Name: names.RouteConfigName}
	for _, part := range strings.Fields(text) {
		name, routes, _ := strings.Cut(part, ":")
		host := &routev3.VirtualHost{Name: name, Domains: []string{name}}
		if name == "all" {
			host.Domains = []string{"*"}
		}
		for _, r := range strings.Split(routes, ",") {
			route := &routev3.Route{Name: r, Match: &routev3.RouteMatch{}}
			if strings.ToLower(r) != r {
				route.Match.Headers = []*routev3.HeaderMatcher{{
					Name: names.HeaderRoute,
					HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
						MatchPattern: &matcherv3.StringMatcher_Exact{Exact: r},
					}},
				}}
			}
			host.Routes = append(host.Routes, route)
		}
		out.VirtualHosts = append(out.VirtualHosts, host)
	}
	return out
}

func text(c *routev3.RouteConfiguration) string {
	var hosts []string
	for _, h := range c.GetVirtualHosts() {
		var routes []string
		for _, r := range h.GetRoutes() {
			routes = append(routes, r.GetName())
		}
		hosts = append(hosts, h.GetName()+":"+strings.Join(routes, ","))
	}
	return strings.Join(hosts, " ")
}

func TestMergeRoutes(t *testing.T) {
	for _, c := range []struct{ name, target, current, want string }{
		{"the same", "all:A,B,last", "all:A,B,last", "all:A,B,last"},
		{"target adds", "all:A,B,last", "all:A,last", "all:A,B,last"},
		{"current has more", "all:B,last", "all:A,C,last", "all:B,A,C,last"},
		{"fallbacks are the target's, last", "all:B,pass,last", "all:A,other,last", "all:B,A,pass,last"},
		{"fallbacks come last even in between", "all:B,pass,C,last", "all:A", "all:B,C,A,pass,last"},
		{"another host", "x:A,last", "y:B,last", "x:A,last y:B,last"},
		{"nothing before", "all:A,last", "", "all:A,last"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target, current := config(c.target), config(c.current)
			before, other := proto.CloneOf(target), proto.CloneOf(current)
			got := MergeRoutes(target, current)
			if text(got) != c.want {
				t.Errorf("got %s, want %s", text(got), c.want)
			}
			if !proto.Equal(target, before) || !proto.Equal(current, other) {
				t.Error("an argument was changed")
			}
			if (c.want == c.target) != (got == target) {
				t.Error("the target itself is given exactly when there is nothing to add")
			}
			if again := MergeRoutes(got, current); !proto.Equal(again, got) {
				t.Errorf("merging again gives %s", text(again))
			}
		})
	}
}

func TestMergeRoutesDomainsStayUnique(t *testing.T) {
	target, current := config("x:A,last"), config("x:A y:B")
	target.VirtualHosts[0].Domains = []string{"a", "b"}
	current.VirtualHosts[1].Domains = []string{"b", "c"}
	got := MergeRoutes(target, current)
	var all []string
	for _, h := range got.GetVirtualHosts() {
		all = append(all, h.GetDomains()...)
	}
	slices.Sort(all)
	if want := []string{"a", "b", "c"}; !slices.Equal(all, want) {
		t.Fatalf("domains %v, want %v", all, want)
	}
	current.VirtualHosts[1].Domains = []string{"b"}
	if got := MergeRoutes(target, current); got != target {
		t.Fatalf("a host without domains was added: %v", got)
	}
}

// TestStamped: a route for requests that have no stamp is not a stamped one.
func TestStamped(t *testing.T) {
	route := config("all:A").GetVirtualHosts()[0].GetRoutes()[0]
	if !Stamped(route) {
		t.Error("a route that demands a stamp")
	}
	absent := proto.CloneOf(route)
	absent.Match.Headers[0].HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	absent.Match.Headers[0].InvertMatch = true
	if Stamped(absent) {
		t.Error("a route that demands that there be no stamp")
	}
	inverted := proto.CloneOf(route)
	inverted.Match.Headers[0].InvertMatch = true
	if Stamped(inverted) {
		t.Error("a route that demands any stamp but one")
	}
}

func BenchmarkMergeRoutes(b *testing.B) {
	var mine, theirs []string
	for i := range 1000 {
		mine = append(mine, fmt.Sprintf("A%d", i))
		theirs = append(theirs, fmt.Sprintf("A%d", i+10))
	}
	target, current := config("all:"+strings.Join(mine, ",")+",last"), config("all:"+strings.Join(theirs, ",")+",last")
	for b.Loop() {
		MergeRoutes(target, current)
	}
}
