package policy

import (
	"context"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// maxMessageBytes bounds one delta response.
const maxMessageBytes = 80 << 20

// maxNackBytes bounds the words of a NACK: a policy set can have very many faults.
const maxNackBytes = 8 << 10

// stream runs one delta ADS stream to its end. started says that the control
// plane answered at all.
func (c *Client) stream(ctx context.Context) (started bool, err error) {
	// The stream is abandoned on return whatever state it is in.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ads, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.opts.Conn).
		DeltaAggregatedResources(ctx, grpc.MaxCallRecvMsgSize(maxMessageBytes))
	if err != nil {
		return false, fmt.Errorf("opening policy stream: %w", err)
	}
	for _, set := range []*resourceSet{c.keys, c.policies, c.catalog, c.shares} {
		err := ads.Send(&discoveryv3.DeltaDiscoveryRequest{
			Node: c.node(), TypeUrl: set.typeURL,
			ResourceNamesSubscribe:  []string{"*"},
			InitialResourceVersions: set.open(),
		})
		if err != nil {
			return false, fmt.Errorf("subscribing to %s: %w", set.typeURL, err)
		}
	}
	for {
		resp, err := ads.Recv()
		if err != nil {
			return started, fmt.Errorf("reading policy stream: %w", err)
		}
		started = true
		if err := ads.Send(c.answer(resp)); err != nil {
			return started, fmt.Errorf("acknowledging %s: %w", resp.GetTypeUrl(), err)
		}
	}
}

// answer applies a response and gives its ACK or NACK (xDS protocol, "ACK and NACK").
func (c *Client) answer(resp *discoveryv3.DeltaDiscoveryResponse) *discoveryv3.DeltaDiscoveryRequest {
	req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}
	var err error
	switch resp.GetTypeUrl() {
	case names.TypeURLRoutePolicy:
		if err = c.updatePolicies(resp); err == nil {
			c.connected.Store(true)
		}
	case names.TypeURLCatalog:
		err = c.updateCatalog(resp)
	case names.TypeURLShares:
		err = c.updateShares(resp)
	case names.TypeURLSessionKeys:
		err = c.updateKeys(resp)
	default:
		err = fmt.Errorf("type %q was not subscribed to", resp.GetTypeUrl())
	}
	if err != nil {
		c.refusals.Add(1)
		c.log.Warn("update refused", "type", resp.GetTypeUrl(), "error", err)
		words := err.Error()
		if len(words) > maxNackBytes {
			words = words[:maxNackBytes] + "…"
		}
		// What a policy contains may be quoted in them, and a proto string is UTF-8.
		words = strings.ToValidUTF8(words, "\uFFFD")
		req.ErrorDetail = &statuspb.Status{Code: int32(codes.InvalidArgument), Message: words}
	}
	return req
}

func (c *Client) node() *corev3.Node {
	n := c.opts.Node
	return &corev3.Node{
		Id: n.ID, Cluster: n.Cluster, Locality: &corev3.Locality{Region: n.Region},
		UserAgentName:        "holdfast-extproc",
		UserAgentVersionType: &corev3.Node_UserAgentVersion{UserAgentVersion: n.Version},
	}
}
