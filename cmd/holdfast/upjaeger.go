package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// Variables that say where traces go.
const (
	// jaegerVariable is off, or the URL of a Jaeger that runs already.
	jaegerVariable = "HOLDFAST_JAEGER"
	// jaegerBinVariable is the path of a Jaeger to run.
	jaegerBinVariable = "HOLDFAST_JAEGER_BIN"
	// otlpVariable is where a Jaeger that runs already takes spans (OpenTelemetry's environment variables).
	otlpVariable = "OTEL_EXPORTER_OTLP_ENDPOINT"

	jaegerOff = "off"
	otlpPort  = "4317"
)

// tracing says where traces go, by the variables above; by default to a Jaeger of this run.
func (e *environment) tracing(ctx context.Context, progress func(string)) (stack.Tracing, error) {
	switch named := e.Getenv(jaegerVariable); named {
	case jaegerOff:
		return stack.Tracing{}, nil
	case "":
		return stack.Tracing{Find: func(ctx context.Context) (string, error) { return e.findJaeger(ctx, progress) }}, nil
	default:
		return e.otherJaeger(ctx, named)
	}
}

// findJaeger returns the path of the Jaeger to run, which may have to be built.
func (e *environment) findJaeger(ctx context.Context, progress func(string)) (string, error) {
	module, err := e.shipped(filepath.Join("tools", "jaeger"), "jaeger")
	if err != nil {
		// Not fatal by itself: the cache may have one.
		module = ""
	}
	found, err := e.finder(progress).Jaeger(ctx, e.Getenv(jaegerBinVariable), module)
	if err != nil {
		return "", fmt.Errorf("finding Jaeger: %w", err)
	}
	return found.Path, nil
}

// otherJaeger is one that runs already, with the URL of its query API.
func (e *environment) otherJaeger(ctx context.Context, query string) (stack.Tracing, error) {
	u, err := jaegerURL(jaegerVariable, query)
	if err != nil {
		return stack.Tracing{}, err
	}
	otlp := net.JoinHostPort(u.Hostname(), otlpPort)
	if endpoint := e.Getenv(otlpVariable); endpoint != "" {
		receiver, err := url.Parse(endpoint)
		if err != nil || receiver.Scheme != "http" || receiver.Port() == "" {
			return stack.Tracing{}, usagef(fmt.Sprintf("%s %q is not http://host:port: spans are sent by gRPC without TLS", otlpVariable, endpoint))
		}
		otlp = receiver.Host
	}
	address, err := resolved(ctx, otlp)
	if err != nil {
		return stack.Tracing{}, fmt.Errorf("finding where %s %s takes spans: %w", jaegerVariable, query, err)
	}
	return stack.Tracing{Query: u.String(), OTLP: address}, nil
}

// jaegerURL is the URL of a query API, as owner has it.
func jaegerURL(owner, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef(fmt.Sprintf("%s %q is not the URL of a Jaeger, such as http://%s", owner, text, stack.DefaultJaegerQuery))
	}
	return u, nil
}

// resolved is IP:port of host:port: Envoy looks no names up for the receiver of its spans.
func resolved(ctx context.Context, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says of what
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err //nolint:wrapcheck // the caller says of what
	}
	// A Jaeger on localhost rarely listens on both; 127.0.0.1 is the usual one.
	best := found[0]
	for _, one := range found {
		if one.Unmap().Is4() {
			best = one
			break
		}
	}
	return net.JoinHostPort(withoutZone(best), port), nil
}

func withoutZone(a netip.Addr) string { return a.Unmap().WithZone("").String() }

// tracesLine says where traces are, or will be.
func tracesLine(env *environment, state stack.JaegerState, info *stack.TracingInfo) string {
	switch {
	case info == nil:
		return fmt.Sprintf("none: %s is off", jaegerVariable)
	case !info.Own:
		return info.Query
	case state == stack.JaegerFailed:
		return "none: see above"
	case state == stack.JaegerComing:
		return info.Query + ", as soon as Jaeger is up, which is said below"
	case env.Getenv(jaegerBinVariable) == "":
		return fmt.Sprintf("%s answers 'holdfast trace'; for its web page see %s in 'holdfast up --help'", info.Query, jaegerBinVariable)
	}
	return info.Query
}

// beside shows what became of something that nothing waited for.
func (s *screen) beside(step stack.Step) {
	if step.Err != nil {
		s.line(fmt.Sprintf("%s no %s, so nobody keeps traces: %s", s.paint(red, "!"), step.Name, cut(oneLine(step.Err.Error()), maxFailure)))
		return
	}
	s.line(fmt.Sprintf("%s %-*s %4.1f s, beside the others", s.paint(green, "✓"), stepWidth, step.Name, step.Took.Seconds()))
}

// maxFailure is where the reason why there is no Jaeger is cut, in characters: a failed build has much to say.
const maxFailure = 600
