package model

import "github.com/holdfast-mcp/holdfast/pkg/config"

// Traces says where spans go and of which calls.
type Traces struct {
	// Host and Port of the OTLP receiver.
	Host string
	Port uint32
	// HTTP is OTLP over HTTP; else gRPC.
	HTTP bool
	// Ratio of the traces that begin here, 0 to 100.
	Ratio uint32
	// FollowParent traces what the caller traces; KeepFailures keeps the processors' spans of calls that did not go well.
	FollowParent, KeepFailures bool
}

// traces are the Gateway's own or, where it has none, those of every call to the
// receiver that the command line names.
func (b *builder) traces(g config.Gateway) *Traces {
	written := g.Spec.Telemetry.Traces
	if written == nil && b.opts.Traces == "" {
		return nil
	}
	out := &Traces{Ratio: 100, FollowParent: true, KeepFailures: true}
	address := b.opts.Traces
	if written != nil {
		address = written.Address
		out.HTTP, out.Ratio = written.Protocol == config.TraceHTTP, uint32(*written.Ratio) //nolint:gosec // 0 to 100
		out.FollowParent, out.KeepFailures = written.Parent == config.On, written.Failures == config.On
	}
	out.Host, out.Port = b.address("Gateway "+g.Metadata.Name+", traces", address)
	return out
}
