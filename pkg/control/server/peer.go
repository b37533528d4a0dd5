package server

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Bounds on what a peer may say, in bytes and in numbers.
const (
	maxNodeID    = 256
	maxRegion    = 128
	maxUserAgent = 128
	maxDetail    = 8 << 10
	// maxTypes is below the capacity of go-control-plane's response channels, so that
	// a cache never has to wait for a slow peer: a peer has at most one response of
	// each type under way.
	maxTypes = 10
	// maxResources bounds the resource names that a peer may name of one type.
	maxResources = 1 << 16
	// maxUnanswered bounds the responses of one type that are remembered.
	maxUnanswered = 64
)

// Peer is who is at the other end of one stream.
type Peer struct {
	Key       rollout.Key
	ID        string
	Region    string
	UserAgent string
	Kind      rollout.Kind
	// Delta: incremental xDS; otherwise state of the world.
	Delta bool
	// Since is when the stream said who it is.
	Since time.Time
}

// identify reads the node of a first request. What it says is shown to people and
// kept, so it is bounded and printable.
func identify(node *corev3.Node, typeURL string) (Peer, error) {
	p := Peer{ID: node.GetId(), Region: node.GetLocality().GetRegion(), Kind: kindOf(typeURL)}
	if p.ID == "" {
		return Peer{}, grpcstatus.Error(codes.InvalidArgument, "the first request of a stream must have a node.id")
	}
	if err := printable("node.id", p.ID, maxNodeID); err != nil {
		return Peer{}, err
	}
	if err := printable("node.locality.region", p.Region, maxRegion); err != nil {
		return Peer{}, err
	}
	p.UserAgent = userAgent(node)
	return p, nil
}

func printable(field, value string, limit int) error {
	if len(value) > limit {
		return grpcstatus.Errorf(codes.InvalidArgument, "%s has %d bytes, at most %d are taken", field, len(value), limit)
	}
	if !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return grpcstatus.Errorf(codes.InvalidArgument, "%s has characters that cannot be printed", field)
	}
	return nil
}

func userAgent(node *corev3.Node) string {
	version := node.GetUserAgentVersion()
	if v := node.GetUserAgentBuildVersion().GetVersion(); v != nil {
		version = fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	out := strings.TrimSpace(node.GetUserAgentName() + " " + version)
	if len(out) > maxUserAgent {
		out = out[:maxUserAgent]
	}
	return clean(out)
}

// clean makes foreign text fit to be shown.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

func kindOf(typeURL string) rollout.Kind {
	switch typeURL {
	case names.TypeURLRoutePolicy, names.TypeURLCatalog, names.TypeURLSessionKeys, names.TypeURLShares:
		return rollout.Processor
	}
	return rollout.Envoy
}

// words bounds the text of a refusal.
func words(detail string) string {
	if len(detail) > maxDetail {
		detail = detail[:maxDetail] + "…"
	}
	return clean(detail)
}
