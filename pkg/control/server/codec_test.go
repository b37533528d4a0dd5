package server

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func someText(r *rand.Rand, most int) string { return string(make([]byte, r.IntN(most+1))) }

func someResponse(r *rand.Rand) *discoveryv3.DeltaDiscoveryResponse {
	resp := &discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: someText(r, 64), TypeUrl: someText(r, 200), Nonce: someText(r, 3)}
	for range r.IntN(3) {
		resp.RemovedResources = append(resp.RemovedResources, someText(r, 2))
	}
	for n := range r.IntN(12) {
		resp.Resources = append(resp.Resources, &discoveryv3.Resource{
			Name: someText(r, 300), Version: someText(r, 2),
			Resource: &anypb.Any{TypeUrl: someText(r, 2), Value: fmt.Appendf(nil, "%d%s", n, someText(r, 20<<10))[r.IntN(2):]},
		})
	}
	return resp
}

// TestLargeResponsesAreTheSame: what goes out in pieces is what the general codec makes.
func TestLargeResponsesAreTheSame(t *testing.T) {
	general := encoding.GetCodecV2(grpcproto.Name)
	ours := codec{general}
	inPieces := 0
	check := func(seed uint64, resp *discoveryv3.DeltaDiscoveryResponse) bool {
		t.Helper()
		data, err := ours.Marshal(resp)
		if err != nil {
			t.Fatal(err)
		}
		got := &discoveryv3.DeltaDiscoveryResponse{}
		if err := general.Unmarshal(data, got); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !proto.Equal(got, resp) || data.Len() != proto.Size(resp) {
			t.Fatalf("seed %d: %d bytes that are another message, want %d", seed, data.Len(), proto.Size(resp))
		}
		return len(data) > 1
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		if check(seed, someResponse(r)) {
			inPieces++
		}
	}
	if inPieces < 100 || inPieces > 290 {
		t.Errorf("%d of 300 went out in pieces", inPieces)
	}
	// What the pieces do not know is left to the general codec.
	value := &anypb.Any{Value: make([]byte, 2*copyBelow)}
	for name, resp := range map[string]*discoveryv3.DeltaDiscoveryResponse{
		"control plane": {ControlPlane: &corev3.ControlPlane{Identifier: "x"}, Resources: []*discoveryv3.Resource{{Resource: value}}},
		"names":         {RemovedResourceNames: []*discoveryv3.ResourceName{{Name: "x"}}, Resources: []*discoveryv3.Resource{{Resource: value}}},
		"errors":        {ResourceErrors: []*discoveryv3.ResourceError{{}}, Resources: []*discoveryv3.Resource{{Resource: value}}},
		"aliases":       {Resources: []*discoveryv3.Resource{{Aliases: []string{"x"}, Resource: value}}},
		"name":          {Resources: []*discoveryv3.Resource{{ResourceName: &discoveryv3.ResourceName{Name: "x"}, Resource: value}}},
		"ttl":           {Resources: []*discoveryv3.Resource{{Ttl: durationpb.New(1), Resource: value}}},
		"cache":         {Resources: []*discoveryv3.Resource{{CacheControl: &discoveryv3.Resource_CacheControl{}, Resource: value}}},
		"metadata":      {Resources: []*discoveryv3.Resource{{Metadata: &corev3.Metadata{}, Resource: value}}},
		"no body":       {Resources: []*discoveryv3.Resource{{Resource: value}, {Name: "x"}}},
	} {
		if check(0, resp) {
			t.Errorf("%s: it went out in pieces", name)
		}
	}
}
