// Package told collects what the control plane is told of beside the answers of tools: what endpoints say of their own
// load, and how callers' calls end.
package told

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	orcav3 "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Headers in which an endpoint says what it uses (Open Request Cost Aggregation), as Envoy reads them.
const (
	HeaderLoad       = "endpoint-load-metrics"
	HeaderLoadBinary = "endpoint-load-metrics-bin"
)

// maxLoadBytes bounds a header that is read.
const maxLoadBytes = 4 << 10

// ParseLoad reads HeaderLoad: "TEXT cpu_utilization=0.3,mem_utilization=0.8", "JSON {…}" or "BIN <base64>". ok is
// false where it says nothing of CPU or memory that can be used.
func ParseLoad(value string) (l Load, ok bool) {
	if len(value) > maxLoadBytes {
		return Load{}, false
	}
	format, rest, _ := strings.Cut(value, " ")
	switch format {
	case "TEXT":
		return parseText(rest)
	case "JSON":
		report := &orcav3.OrcaLoadReport{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(rest), report); err != nil {
			return Load{}, false
		}
		return ofReport(report)
	case "BIN":
		return ParseLoadBinary(strings.TrimSpace(rest))
	default:
		return Load{}, false
	}
}

// ParseLoadBinary reads HeaderLoadBinary, a report in base64.
func ParseLoadBinary(value string) (l Load, ok bool) {
	if len(value) > maxLoadBytes {
		return Load{}, false
	}
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return Load{}, false
	}
	report := &orcav3.OrcaLoadReport{}
	if err := proto.Unmarshal(data, report); err != nil {
		return Load{}, false
	}
	return ofReport(report)
}

// ofReport takes what is above 0: a report cannot say that it leaves something out.
func ofReport(r *orcav3.OrcaLoadReport) (l Load, ok bool) {
	if r.GetCpuUtilization() != 0 {
		l.CPU, l.HasCPU = usable(r.GetCpuUtilization())
	}
	if r.GetMemUtilization() != 0 {
		l.Memory, l.HasMemory = usable(r.GetMemUtilization())
	}
	return l, l.HasCPU || l.HasMemory
}

func parseText(pairs string) (l Load, ok bool) {
	for pair := range strings.SplitSeq(pairs, ",") {
		name, text, found := strings.Cut(strings.TrimSpace(pair), "=")
		value, err := strconv.ParseFloat(text, 64)
		if !found || err != nil {
			continue
		}
		switch name {
		case "cpu_utilization":
			l.CPU, l.HasCPU = usable(value)
		case "mem_utilization":
			l.Memory, l.HasMemory = usable(value)
		}
	}
	return l, l.HasCPU || l.HasMemory
}

// usable takes shares; a CPU may be above 1 where its limit is a soft one.
func usable(x float64) (float32, bool) {
	const most = 10
	if math.IsNaN(x) || x < 0 || x > most {
		return 0, false
	}
	return float32(x), true
}
