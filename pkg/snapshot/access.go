package snapshot

import (
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// accessFilter refuses foreign Host and Origin headers with 403 (MCP transport,
// security warning on DNS rebinding). Since Holdfast rewrites Host for the
// servers, the check is its own duty. nil where everything is allowed.
func accessFilter(g model.Gateway) *rbacfilterv3.RBAC {
	var all []*rbacv3.Principal
	if g.AllowedHosts != nil {
		var hosts []*rbacv3.Principal
		for _, h := range g.AllowedHosts {
			hosts = append(hosts, hostWithPort(":authority", bracketed(h), "")...)
		}
		all = append(all, anyOfPrincipals(hosts))
	}
	if g.AllowedOrigins != nil {
		origins := []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
			Name: "origin", InvertMatch: true,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}}}}
		for _, o := range g.AllowedOrigins {
			origins = append(origins, hostWithPort("origin", o.Scheme+"://"+bracketed(o.Host), o.Port)...)
		}
		all = append(all, anyOfPrincipals(origins))
	}
	if len(all) == 0 {
		return nil
	}
	anything := []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}}
	return &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{
		Action: rbacv3.RBAC_ALLOW,
		Policies: map[string]*rbacv3.Policy{
			"host-and-origin": {
				Permissions: anything,
				Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_AndIds{
					AndIds: &rbacv3.Principal_Set{Ids: all},
				}}},
			},
			// A request that Envoy begins again was checked the first time, and has
			// the server's own Host by now.
			"rerun": {
				Permissions: anything,
				Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
					Name: names.HeaderRerun, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
				}}}},
			},
		},
	}}
}

// portPattern is what may follow a name: one port and nothing else. It is the same
// for all names, which are compared, since Envoy limits the size of expressions.
const portPattern = `[^,]*:[0-9]{1,5}`

// hostWithPort matches value with the given port or, where that is "", with any
// or none; names are case-insensitive.
func hostWithPort(name, value, port string) []*rbacv3.Principal {
	match := func(m *matcherv3.StringMatcher) *rbacv3.Principal {
		m.IgnoreCase = true
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
			Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m},
		}}}
	}
	exact := func(v string) *rbacv3.Principal {
		return match(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: v}})
	}
	if port != "" {
		return []*rbacv3.Principal{exact(value + ":" + port)}
	}
	named := match(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: value + ":"}})
	onePort := &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
		Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: portPattern}},
		}},
	}}}
	return []*rbacv3.Principal{exact(value), {Identifier: &rbacv3.Principal_AndIds{
		AndIds: &rbacv3.Principal_Set{Ids: []*rbacv3.Principal{named, onePort}},
	}}}
}

func anyOfPrincipals(ids []*rbacv3.Principal) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: ids}}}
}

// bracketed writes an IPv6 address with the brackets that a Host header has.
func bracketed(host string) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}

func packFilter(name string, cfg proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := anyOf(cfg)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}
