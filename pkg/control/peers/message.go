package peers

import (
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

// Probe outcomes have the same numbers in both places.
var _ = [1]struct{}{}[int(probe.Failed)-int(outcomev1.ProbeOutcome_PROBE_OUTCOME_FAILED)]

func message(f outlier.Finding) *outcomev1.Finding {
	out := &outcomev1.Finding{Server: f.Server, Endpoint: f.Endpoint}
	for _, s := range f.Standings {
		out.Layers = append(out.Layers, &outcomev1.Layer{
			Name: string(s.Layer), Outcome: outcomev1.ProbeOutcome(s.Outcome), Since: stamp(s.Since), Confirmed: stamp(s.Confirmed), //nolint:gosec // 0 to 3
			Last: outcomev1.ProbeOutcome(s.Last.Outcome), Began: stamp(s.Last.Began), Took: int64(s.Last.Took), Detail: s.Last.Detail, //nolint:gosec // 0 to 3
			Cpu: s.Last.CPU, Memory: s.Last.Memory,
		})
	}
	return out
}

// finding takes what another control plane says, where it makes sense.
func finding(m *outcomev1.Finding) (f outlier.Finding, ok bool) {
	if m.GetServer() == "" || m.GetEndpoint() == "" || len(m.GetLayers()) > len(probe.Layers()) {
		return outlier.Finding{}, false
	}
	out := outlier.Finding{Server: m.GetServer(), Endpoint: m.GetEndpoint()}
	last := -1
	for _, l := range m.GetLayers() {
		at := slices.Index(probe.Layers(), probe.Layer(l.GetName()))
		if at <= last || !usable(l) {
			return outlier.Finding{}, false
		}
		last = at
		out.Standings = append(out.Standings, probe.Standing{
			Layer: probe.Layer(l.GetName()), Outcome: probe.Outcome(l.GetOutcome()), Since: moment(l.GetSince()), Confirmed: moment(l.GetConfirmed()),
			Last: probe.Result{
				Layer: probe.Layer(l.GetName()), Outcome: probe.Outcome(l.GetLast()), Began: moment(l.GetBegan()), Took: time.Duration(l.GetTook()),
				Detail: probe.Printable(l.GetDetail()), CPU: l.Cpu, Memory: l.Memory,
			},
		})
	}
	return out, true
}

func usable(l *outcomev1.Layer) bool {
	for _, o := range []outcomev1.ProbeOutcome{l.GetOutcome(), l.GetLast()} {
		if o < 0 || int(o) > int(probe.Failed) {
			return false
		}
	}
	for _, share := range []float64{l.GetCpu(), l.GetMemory()} {
		if math.IsNaN(share) || share < 0 || share > 1 {
			return false
		}
	}
	for _, at := range []*timestamppb.Timestamp{l.GetSince(), l.GetConfirmed(), l.GetBegan()} {
		if at != nil && at.CheckValid() != nil {
			return false
		}
	}
	return l.GetTook() >= 0
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
