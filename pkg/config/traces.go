package config

// DefaultTraceRatio is Traces.Ratio.
const DefaultTraceRatio Percent = 1

func (t *Traces) applyDefaults() {
	if t == nil {
		return
	}
	setDefault(&t.Protocol, TraceGRPC)
	setDefault(&t.Parent, On)
	setDefault(&t.Failures, On)
	if t.Ratio == nil {
		ratio := DefaultTraceRatio
		t.Ratio = &ratio
	}
}

func checkTracesValues(g loaded[Gateway]) {
	t := g.value.Spec.Telemetry.Traces
	if t == nil {
		return
	}
	g.textAt("spec.telemetry.traces.address", t.Address, badEndpointAddress)
	if t.Ratio != nil {
		rangeAt(g.document, "spec.telemetry.traces.ratio", *t.Ratio, 0, whole)
	}
}
