package degrade

import (
	"net/http"
	"time"
)

// codeFacts are fixed: clients may compare numbers.
type codeFacts struct {
	number     int
	status     int
	retryable  bool
	retryAfter time.Duration
}

func (c Code) facts() codeFacts {
	switch c {
	case InvalidInput:
		return codeFacts{number: 1400, status: http.StatusBadRequest}
	case Unauthorized:
		return codeFacts{number: 1401, status: http.StatusForbidden}
	case ValidationFailed:
		return codeFacts{number: 1422, status: http.StatusBadRequest}
	case MissingParameter:
		return codeFacts{number: 1428, status: http.StatusBadRequest}
	case RateLimited:
		return codeFacts{number: 1429, status: http.StatusTooManyRequests, retryable: true, retryAfter: time.Second}
	case DependencyFailed:
		return codeFacts{number: 1502, status: http.StatusBadGateway, retryable: true, retryAfter: time.Second}
	case ServiceUnavailable:
		return codeFacts{number: 1503, status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second}
	case Timeout:
		return codeFacts{number: 1504, status: http.StatusGatewayTimeout, retryable: true, retryAfter: time.Second}
	case InternalError, SessionLost:
	}
	return codeFacts{number: 1500, status: http.StatusInternalServerError}
}

// Number is the JSON-RPC error code that stands for c. All are outside -32768…-32000,
// which JSON-RPC and MCP keep to themselves:
//
//	invalid_input       1400    dependency_failed   1502
//	unauthorized        1401    service_unavailable 1503
//	validation_failed   1422    timeout             1504
//	missing_parameter   1428    internal_error      1500
//	rate_limited        1429
func (c Code) Number() int { return c.facts().number }

// HTTPStatus is the status that tells c where a route asks for HTTP statuses.
func (c Code) HTTPStatus() int { return c.facts().status }
