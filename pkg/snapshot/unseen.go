package snapshot

import (
	mutationrulesv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// An answer whose edge point is late goes on without it. What the edge point would have
// taken off stays here all the same: the id that a server has given a session, of which
// clients know another one (some end their connection at a second one), and what Envoy and the attempt
// point tell the edge point.

const headerSessionID = "mcp-session-id"

// sealedSessionID is the answer's session id where the edge point has written it, else nothing.
const sealedSessionID = `%CEL("` + headerSessionID + `" in response.headers && response.headers["` + headerSessionID + `"].startsWith("` + names.SessionPrefix + `") ? response.headers["` + headerSessionID + `"] : "")%`

// unseenFilter stands before the edge point, so that it sees answers after it.
func unseenFilter() (*hcmv3.HttpFilter, error) {
	remove := func(name string) *mutationrulesv3.HeaderMutation {
		return &mutationrulesv3.HeaderMutation{Action: &mutationrulesv3.HeaderMutation_Remove{Remove: name}}
	}
	set := func(name, value string) *mutationrulesv3.HeaderMutation {
		return &mutationrulesv3.HeaderMutation{Action: &mutationrulesv3.HeaderMutation_Append{Append: &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: name, Value: value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}}
	}
	cfg := &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{ResponseMutations: []*mutationrulesv3.HeaderMutation{
		// A server's, where the attempt point was late as well.
		remove(names.HeaderSessionToken),
		set(names.HeaderSessionToken, sealedSessionID),
		remove(headerSessionID),
		set(headerSessionID, "%RESP("+names.HeaderSessionToken+")%"),
		remove(names.HeaderSessionToken),
	}}}
	for _, name := range []string{names.HeaderEndpointOnly, names.HeaderEndpointFirst, names.HeaderVerdict, names.HeaderRetryAfter, names.HeaderError, names.HeaderSession} {
		cfg.Mutations.ResponseMutations = append(cfg.Mutations.ResponseMutations, remove(name))
	}
	return packFilter(names.FilterUnseen, cfg)
}

// withoutUnseen turns the filter off for a route that passes answers as they are.
func withoutUnseen() (*anypb.Any, error) { return anyOf(&routev3.FilterConfig{Disabled: true}) }
