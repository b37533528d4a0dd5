package snapshot

import (
	"regexp"
	"strings"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// accessFilter refuses foreign Host and Origin headers with 403 (MCP transport,
// security warning on DNS rebinding). Since Holdfast rewrites Host for the
// servers, the check is its own duty. nil where everything is allowed.
func accessFilter(g model.Gateway) *rbacfilterv3.RBAC {
	var all []*rbacv3.Principal
	if g.AllowedHosts != nil {
		all = append(all, header(":authority", hostPattern(g.AllowedHosts)))
	}
	if g.AllowedOrigins != nil {
		absent := &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
			Name: "origin", InvertMatch: true,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true},
		}}}
		any := []*rbacv3.Principal{absent}
		if len(g.AllowedOrigins) > 0 {
			any = append(any, header("origin", originPattern(g.AllowedOrigins)))
		}
		all = append(all, &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{
			OrIds: &rbacv3.Principal_Set{Ids: any},
		}})
	}
	if len(all) == 0 {
		return nil
	}
	return &rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{
		Action: rbacv3.RBAC_ALLOW,
		Policies: map[string]*rbacv3.Policy{"host-and-origin": {
			Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}},
			Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_AndIds{
				AndIds: &rbacv3.Principal_Set{Ids: all},
			}}},
		}},
	}}
}

func header(name, pattern string) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Header{Header: &routev3.HeaderMatcher{
		Name: name,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
			MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}},
		}},
	}}}
}

// hostPattern matches any of hosts with any port; names are case-insensitive.
func hostPattern(hosts []string) string {
	quoted := make([]string, 0, len(hosts))
	for _, h := range hosts {
		quoted = append(quoted, quoteHost(h))
	}
	return `(?i)(?:` + strings.Join(quoted, "|") + `)(?::[0-9]{1,5})?`
}

func originPattern(origins []model.Origin) string {
	quoted := make([]string, 0, len(origins))
	for _, o := range origins {
		port := `(?::[0-9]{1,5})?`
		if o.Port != "" {
			port = ":" + regexp.QuoteMeta(o.Port)
		}
		quoted = append(quoted, regexp.QuoteMeta(o.Scheme)+"://"+quoteHost(o.Host)+port)
	}
	return `(?i)(?:` + strings.Join(quoted, "|") + `)`
}

// quoteHost writes an IPv6 address with the brackets that a Host header has.
func quoteHost(host string) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	return regexp.QuoteMeta(host)
}

func packFilter(name string, cfg proto.Message) (*hcmv3.HttpFilter, error) {
	packed, err := anyOf(cfg)
	if err != nil {
		return nil, err
	}
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed}}, nil
}
