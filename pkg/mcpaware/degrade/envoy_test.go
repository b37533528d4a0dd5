package degrade_test

import (
	"testing"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/degrade"
)

func TestFromEnvoy(t *testing.T) {
	const (
		down        = "Service unavailable - all orders endpoints are down."
		unreachable = "Service unavailable - orders cannot be reached."
		overloaded  = "Service unavailable - orders is overloaded."
		broken      = "Service unavailable - the connection to orders broke before an answer came."
		late        = "Timeout - orders did not answer in time."
	)
	tests := map[string]struct {
		local   degrade.Local
		code    degrade.Code
		what    string
		outcome string
	}{
		"no endpoint":           {degrade.Local{503, "UH", "no_healthy_upstream", 0}, degrade.ServiceUnavailable, down, degrade.NotExecuted},
		"no endpoint, no words": {degrade.Local{503, "UH", "", 0}, degrade.ServiceUnavailable, down, degrade.NotExecuted},
		"connection refused":    {degrade.Local{503, "UF", "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}", 1}, degrade.ServiceUnavailable, unreachable, degrade.NotExecuted},
		"refused everywhere":    {degrade.Local{503, "UF,URX", "upstream_reset_before_response_started{remote_connection_failure,delayed_connect_error:_111}", 3}, degrade.ServiceUnavailable, down, degrade.NotExecuted},
		"connect timeout":       {degrade.Local{503, "UF", "upstream_reset_before_response_started{connection_timeout}", 2}, degrade.ServiceUnavailable, down, degrade.NotExecuted},
		"local failure, spaces": {degrade.Local{503, "UF", "upstream_reset_before_response_started{local connection failure}", 1}, degrade.ServiceUnavailable, unreachable, degrade.NotExecuted},
		"queue full":            {degrade.Local{503, "UO", "upstream_reset_before_response_started{overflow}", 1}, degrade.ServiceUnavailable, overloaded, degrade.NotExecuted},
		"retry not allowed after a reset": {
			degrade.Local{503, "UO,UR", "upstream_reset_before_response_started{remote_reset}", 1}, degrade.ServiceUnavailable, broken, degrade.Unknown,
		},
		"the same without words": {degrade.Local{503, "UO,UR", "", 1}, degrade.ServiceUnavailable, broken, degrade.Unknown},
		"refused stream":         {degrade.Local{503, "UR", "upstream_reset_before_response_started{remote_refused_stream_reset}", 1}, degrade.ServiceUnavailable, "Service unavailable - orders takes no calls right now.", degrade.NotExecuted},
		"connection closed":      {degrade.Local{503, "UC", "upstream_reset_before_response_started{connection_termination}", 1}, degrade.ServiceUnavailable, broken, degrade.Unknown},
		"reset late":             {degrade.Local{503, "UF", "upstream_reset_after_response_started{remote_connection_failure}", 1}, degrade.ServiceUnavailable, broken, degrade.Unknown},
		"unheard-of reset":       {degrade.Local{503, "UF", "upstream_reset_before_response_started{solar_flare}", 1}, degrade.ServiceUnavailable, unreachable, degrade.NotExecuted},
		"protocol error":         {degrade.Local{502, "UPE", "upstream_reset_before_response_started{protocol_error}", 1}, degrade.DependencyFailed, "Dependency failed - orders sent an answer that cannot be passed on.", degrade.Unknown},
		"answer too large":       {degrade.Local{500, "", "response_payload_too_large", 1}, degrade.DependencyFailed, "Dependency failed - orders sent an answer that cannot be passed on.", degrade.Unknown},
		"timeout":                {degrade.Local{504, "UT", "response_timeout", 1}, degrade.Timeout, late, degrade.Unknown},
		"try timeout":            {degrade.Local{504, "UT,URX", "upstream_per_try_timeout", 2}, degrade.Timeout, late, degrade.Unknown},
		"idle":                   {degrade.Local{504, "SI", "stream_idle_timeout", 1}, degrade.Timeout, late, degrade.Unknown},
		"request incomplete":     {degrade.Local{408, "DT", "request_overall_timeout", 0}, degrade.Timeout, "Timeout - the request did not arrive in time.", degrade.NotExecuted},
		"request too large":      {degrade.Local{413, "", "request_payload_too_large", 0}, degrade.InvalidInput, "Invalid input - the request is too large.", degrade.NotExecuted},
		"status 413 alone":       {degrade.Local{413, "", "", 0}, degrade.InvalidInput, "Invalid input - the request is too large.", degrade.NotExecuted},
		"no route":               {degrade.Local{404, "NR", "route_not_found", 0}, degrade.InternalError, "Internal error - there is no route for the request.", degrade.NotExecuted},
		"no cluster":             {degrade.Local{503, "NC", "cluster_not_found", 0}, degrade.InternalError, "Internal error - there is no route for the request.", degrade.NotExecuted},
		"maintenance":            {degrade.Local{503, "", "maintenance_mode", 0}, degrade.ServiceUnavailable, overloaded, degrade.NotExecuted},
		"denied":                 {degrade.Local{403, "", "rbac_access_denied_matched_policy[none]", 0}, degrade.Unauthorized, "Not allowed - the request was refused.", degrade.NotExecuted},
		"limited":                {degrade.Local{429, "RL", "local_rate_limited", 0}, degrade.RateLimited, "Rate limited - too many calls to orders.", degrade.NotExecuted},
		"503 of unknown origin":  {degrade.Local{503, "", "", 1}, degrade.ServiceUnavailable, broken, degrade.Unknown},
		"nothing known":          {degrade.Local{}, degrade.InternalError, "Internal error - the request failed on its way.", degrade.Unknown},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := degrade.FromEnvoy(test.local, unsafeCall(), "r")
			want := test.what + " The call was not carried out."
			retryable := got.Code != degrade.InternalError && got.Code != degrade.InvalidInput && got.Code != degrade.Unauthorized
			if test.outcome == degrade.Unknown {
				want = test.what + " The call may have been carried out: check before you repeat it."
				retryable = false
			} else if retryable {
				want += " Please retry later."
			}
			if got.Code != test.code || got.Message != want || got.Outcome != test.outcome || got.Retryable != retryable {
				t.Errorf("unsafe call: %+v; want %s, %q, %s", got, test.code, want, test.outcome)
			}
			if got.Server != "orders" || got.Tool != "create_order" || got.RequestID != "r" {
				t.Errorf("cause names %q, %q, %q", got.Server, got.Tool, got.RequestID)
			}
			safe := degrade.FromEnvoy(test.local, safeCall(), "")
			if safe.Outcome != "" || safe.Code != test.code {
				t.Errorf("safe call: %+v", safe)
			}
			if nobody := degrade.FromEnvoy(test.local, nil, ""); nobody.Outcome != "" || nobody.Message == "" {
				t.Errorf("no call: %+v", nobody)
			}
		})
	}
}

func TestDownTextForModels(t *testing.T) {
	local := degrade.Local{Status: 503, Flags: "UH", CodeDetails: "no_healthy_upstream"}
	got := degrade.FromEnvoy(local, &policyv1.CallContext{Server: "orders", Safe: true}, "")
	if want := "Service unavailable - all orders endpoints are down. Please retry later."; got.Message != want {
		t.Errorf("message %q, want %q", got.Message, want)
	}
}

func TestFlagNames(t *testing.T) {
	for bits, want := range map[uint64]string{
		0: "", 1 << 1: "UH", 1<<5 | 1<<15: "UF,URX", 1 << 7: "UO", 1 << 8: "NR", 1 << 23: "UPE", 1 << 29: "UDO", 1 << 40: "",
	} {
		if got := degrade.FlagNames(bits); got != want {
			t.Errorf("FlagNames(%#x) = %q, want %q", bits, got, want)
		}
	}
}
