package snapshot

import (
	"fmt"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// localReply is what stands in the place of some of Envoy's own answers.
type localReply struct {
	// expression (CEL) finds them.
	expression string
	code       int
	reason     string
	message    string
	retryable  bool
	// retryAfter in milliseconds; 0: nothing is known.
	retryAfter int
	// status in place of Envoy's own; 0: that stays.
	status uint32
	// lost is what is gone: the processor with the answer that it held, or the cluster.
	lost string
	// outcome says whether the call was carried out; empty: the answer does not say.
	outcome string
	// events is an event stream that ends at once, in place of an error; see waiting.
	events string
}

// waiting is the answer to a client that comes back to a stream of its session while no processor
// can be asked: a word to come again, with the id that it has. Some clients end their
// connection at any answer that is no stream. The processor that it comes back to takes the
// prefix off. Ids that have grown too long are dropped: nobody has waited for that long
// in vain before.
func waiting(id string, conditions ...string) localReply {
	conditions = append([]string{
		`response.code_details == 'direct_response'`, `request.method == 'GET'`, `'mcp-session-id' in request.headers`,
		`'accept' in request.headers`, `request.headers['accept'].contains('text/event-stream')`,
	}, conditions...)
	return localReply{
		expression: strings.Join(conditions, " && "), status: 200,
		events: ": come again\nretry: 2000\nid: " + names.WaitPrefix + "%REQ(X-REQUEST-ID)%." + id + "\ndata:\n\n",
	}
}

// What an answer says of the call.
const (
	outcomeUnknown     = "unknown"
	outcomeNotExecuted = "not_executed"
)

// unchecked is the answer while no processor can be asked: no route led to a server.
func unchecked(outcome string, conditions ...string) localReply {
	return localReply{
		expression: strings.Join(append([]string{`response.code_details == 'direct_response'`}, conditions...), " && "),
		code:       1503, reason: "service_unavailable", retryable: true, retryAfter: 1000, status: 503, outcome: outcome,
		message: "Service unavailable - the gateway cannot check this request right now. Please retry later.",
	}
}

// localReplies makes Envoy's own refusals readable for MCP clients: JSON-RPC
// errors with a null id, since Envoy does not know the request's. The processors'
// immediate responses have no code details and are left as they are.
func localReplies(g model.Gateway) (*hcmv3.LocalReplyConfig, error) {
	rules := []localReply{
		{
			expression: `response.code_details.startsWith('rbac_access_denied')`,
			code:       1403, reason: "unauthorized",
			message: "Forbidden: this Host or Origin is not allowed here.",
		},
		{
			expression: `response.code_details.startsWith('ext_proc')`,
			code:       1503, reason: "service_unavailable", status: 503, lost: names.LostProcessor, outcome: outcomeUnknown,
			message: "Service unavailable - the gateway lost the answer of the server. The call may have been carried out: check before you repeat it.",
		},
		waiting("%REQ(LAST-EVENT-ID)%", `'last-event-id' in request.headers`, `size(request.headers['last-event-id']) <= 8192`),
		waiting(""),
		unchecked(outcomeNotExecuted, fmt.Sprintf("!('%s' in request.headers)", names.HeaderRerun)),
		// What Envoy began again may have been carried out the first time, if it may run twice.
		unchecked(""),
		{
			expression: `response.code_details == 'cluster_not_found'`,
			code:       1503, reason: "service_unavailable", retryable: true, retryAfter: 1000, status: 503, lost: names.LostCluster,
			message: "Service unavailable - the server of this request has just been removed. Please retry later.",
		},
		{
			// The answer had begun, but nothing of it has reached the client.
			expression: `response.code_details.startsWith('upstream_reset_after_response_started')`,
			code:       1503, reason: "service_unavailable", status: 503, outcome: outcomeUnknown,
			message: "Service unavailable - the connection to the server broke in the middle of its answer. The call may have been carried out: check before you repeat it.",
		},
		{
			expression: `response.code_details != ''`,
			code:       1400, reason: "invalid_input",
			message: "The gateway refused this request: %RESPONSE_CODE_DETAILS%",
		},
	}
	if g.JWT != nil {
		rules = slices.Insert(rules, 0, localReply{
			expression: `response.code_details.startsWith('jwt_authn_access_denied')`,
			code:       1401, reason: "unauthorized",
			message: "Unauthorized: the token in the Authorization header is missing, over, or not meant for this gateway.",
		})
	}
	out := &hcmv3.LocalReplyConfig{}
	for _, r := range rules {
		mapper, err := r.mapper()
		if err != nil {
			return nil, err
		}
		out.Mappers = append(out.Mappers, mapper)
	}
	return out, nil
}

func (r localReply) mapper() (*hcmv3.ResponseMapper, error) {
	filter, err := celFilter(r.expression)
	if err != nil {
		return nil, err
	}
	out := &hcmv3.ResponseMapper{Filter: filter}
	if r.status != 0 {
		out.StatusCode = u32(r.status)
	}
	if r.lost != "" {
		out.HeadersToAdd = []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: names.HeaderLost, Value: r.lost}}}
	}
	out.BodyFormatOverride, err = r.body()
	return out, err
}

func (r localReply) body() (*corev3.SubstitutionFormatString, error) {
	if r.events != "" {
		return &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: r.events},
			}},
			OmitEmptyValues: true,
			ContentType:     "text/event-stream",
		}, nil
	}
	data := map[string]any{"code": r.reason, "message": r.message, "retryable": r.retryable, "requestId": "%REQ(X-REQUEST-ID)%"}
	if r.retryAfter > 0 {
		data["retryAfterMs"] = r.retryAfter
	}
	if r.outcome != "" {
		data["outcome"] = r.outcome
	}
	body, err := structpb.NewStruct(map[string]any{
		"jsonrpc": "2.0", "id": nil,
		"error": map[string]any{"code": r.code, "message": r.message, "data": data},
	})
	if err != nil {
		return nil, fmt.Errorf("local reply: %w", err)
	}
	return &corev3.SubstitutionFormatString{
		Format:      &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: body},
		ContentType: "application/json",
	}, nil
}

func celFilter(expression string) (*accesslogv3.AccessLogFilter, error) {
	packed, err := anyOf(&celv3.ExpressionFilter{Expression: expression})
	if err != nil {
		return nil, err
	}
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ExtensionFilter{
		ExtensionFilter: &accesslogv3.ExtensionFilter{
			Name:       "envoy.access_loggers.extension_filters.cel",
			ConfigType: &accesslogv3.ExtensionFilter_TypedConfig{TypedConfig: packed},
		},
	}}, nil
}
