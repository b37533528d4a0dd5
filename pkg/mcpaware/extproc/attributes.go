package extproc

import (
	"strconv"
	"strings"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// attributesKey is where Envoy puts the attributes of ext_proc messages.
const attributesKey = "envoy.filters.http.ext_proc"

// attributes are the request or response attributes that the filter is configured
// to send. All accessors give zero values for what is missing.
type attributes struct{ fields map[string]*structpb.Value }

func attributesOf(req *extprocv3.ProcessingRequest) attributes {
	return attributes{fields: req.GetAttributes()[attributesKey].GetFields()}
}

// text of an attribute.
func (a attributes) text(name string) string { return a.fields[name].GetStringValue() }

// number of an attribute, which Envoy sends as a number or in digits.
func (a attributes) number(name string) uint64 {
	v := a.fields[name]
	if n := v.GetNumberValue(); n > 0 && n < 1<<53 {
		return uint64(n)
	}
	n, err := strconv.ParseUint(v.GetStringValue(), 10, 53)
	if err != nil {
		return 0
	}
	return n
}

// region reads locality.region out of upstream.locality, which is a text proto
// such as `region: "asia-south1" sub_zone: "orders"`.
func (a attributes) region() string { return a.locality("region:") }

// server is the server whose endpoint it is, locality.sub_zone.
func (a attributes) server() string { return a.locality("sub_zone:") }

func (a attributes) locality(field string) string {
	_, rest, ok := strings.Cut(a.text("upstream.locality"), field)
	if !ok {
		return ""
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), `"`)
	if !ok {
		return ""
	}
	region, _, ok := strings.Cut(rest, `"`)
	if !ok || strings.Contains(region, `\`) {
		return ""
	}
	return region
}

// call is the serialised call context that the edge point left for the tries, "" where
// there is none.
func (a attributes) call() string { return a.text(names.AttributeCall) }

// metadataOf is attributes.call's other side. subset, where not nil, tells Envoy's load
// balancer which endpoints the call may go to.
func metadataOf(call string, subset *structpb.Struct) *structpb.Struct {
	fields := map[string]*structpb.Value{
		names.MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			names.MetadataCall: structpb.NewStringValue(call),
		}}),
	}
	if subset != nil {
		fields[names.LBNamespace] = structpb.NewStructValue(subset)
	}
	return &structpb.Struct{Fields: fields}
}
