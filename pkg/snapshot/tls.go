package snapshot

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// tlsSocket speaks TLS with an upstream whose certificate has the server name and is signed by one of the
// authorities. Active health checks go through it, too.
func tlsSocket(t model.TLS) (*corev3.TransportSocket, error) {
	common := &tlsv3.CommonTlsContext{ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: fileSource(t.CA),
			MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
				SanType: sanType(t.ServerName), Matcher: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: t.ServerName}},
			}},
		},
	}}
	if t.Certificate != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{{CertificateChain: fileSource(t.Certificate), PrivateKey: fileSource(t.Key)}}
	}
	sni := t.ServerName
	if _, err := netip.ParseAddr(sni); err == nil {
		// An address is no name for a server to choose its certificate by (RFC 6066, section 3).
		sni = ""
	}
	context, err := anyOf(&tlsv3.UpstreamTlsContext{Sni: sni, CommonTlsContext: common})
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: context},
	}, nil
}

func fileSource(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}

// sanType of the certificate of a host.
func sanType(host string) tlsv3.SubjectAltNameMatcher_SanType {
	if _, err := netip.ParseAddr(host); err == nil {
		return tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	return tlsv3.SubjectAltNameMatcher_DNS
}
