package snapshot

import (
	"fmt"
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	celv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/filters/cel/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

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
	// unknown: the call may have been carried out.
	unknown bool
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
			code:       1503, reason: "service_unavailable", status: 503, lost: names.LostProcessor, unknown: true,
			message: "Service unavailable - the gateway lost the answer of the server. The call may have been carried out: check before you repeat it.",
		},
		{
			expression: `response.code_details == 'direct_response'`,
			code:       1503, reason: "service_unavailable", retryable: true, retryAfter: 1000, status: 503,
			message: "Service unavailable - the gateway cannot check this request right now. Please retry later.",
		},
		{
			expression: `response.code_details == 'cluster_not_found'`,
			code:       1503, reason: "service_unavailable", retryable: true, retryAfter: 1000, status: 503, lost: names.LostCluster,
			message: "Service unavailable - the server of this request has just been removed. Please retry later.",
		},
		{
			// The answer had begun, but nothing of it has reached the client.
			expression: `response.code_details.startsWith('upstream_reset_after_response_started')`,
			code:       1503, reason: "service_unavailable", status: 503, unknown: true,
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
		filter, err := celFilter(r.expression)
		if err != nil {
			return nil, err
		}
		data := map[string]any{"code": r.reason, "message": r.message, "retryable": r.retryable, "requestId": "%REQ(X-REQUEST-ID)%"}
		if r.retryAfter > 0 {
			data["retryAfterMs"] = r.retryAfter
		}
		var headers []*corev3.HeaderValueOption
		if r.unknown {
			data["outcome"] = "unknown"
		}
		if r.lost != "" {
			headers = append(headers, &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: names.HeaderLost, Value: r.lost}})
		}
		body, err := structpb.NewStruct(map[string]any{
			"jsonrpc": "2.0", "id": nil,
			"error": map[string]any{"code": r.code, "message": r.message, "data": data},
		})
		if err != nil {
			return nil, fmt.Errorf("local reply: %w", err)
		}
		var status *wrapperspb.UInt32Value
		if r.status != 0 {
			status = u32(r.status)
		}
		out.Mappers = append(out.Mappers, &hcmv3.ResponseMapper{
			Filter: filter, StatusCode: status, HeadersToAdd: headers,
			BodyFormatOverride: &corev3.SubstitutionFormatString{
				Format:      &corev3.SubstitutionFormatString_JsonFormat{JsonFormat: body},
				ContentType: "application/json",
			},
		})
	}
	return out, nil
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
