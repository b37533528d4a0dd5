package snapshot_test

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// TestOwnCertificate: where the configuration names one, Envoy shows it to the endpoints.
func TestOwnCertificate(t *testing.T) {
	r := buildBytes(t, "tls.yaml", []byte(`
kind: MCPServer
metadata: {name: orders}
spec:
  regions: [{name: asia-south1, endpoints: [{address: "127.0.0.1:7101"}]}]
  tls: {ca: /etc/orders-ca.pem, serverName: orders.example, certificate: /etc/gateway.pem, key: /etc/gateway-key.pem}
---
kind: MCPRoute
metadata: {name: shopmax}
spec: {servers: [{name: orders}]}
`))
	cluster, ok := r.Clusters["orders"].(*clusterv3.Cluster)
	if !ok {
		t.Fatalf("no cluster: %v", r.Clusters)
	}
	var context tlsv3.UpstreamTlsContext
	if err := cluster.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context); err != nil {
		t.Fatal(err)
	}
	own := context.GetCommonTlsContext().GetTlsCertificates()
	if len(own) != 1 || own[0].GetCertificateChain().GetFilename() != "/etc/gateway.pem" || own[0].GetPrivateKey().GetFilename() != "/etc/gateway-key.pem" {
		t.Errorf("certificates %v", own)
	}
	if ca := context.GetCommonTlsContext().GetValidationContext().GetTrustedCa().GetFilename(); ca != "/etc/orders-ca.pem" || context.GetSni() != "orders.example" {
		t.Errorf("authorities %q, name %q", ca, context.GetSni())
	}
	if !strings.HasPrefix(cluster.GetEdsClusterConfig().GetServiceName(), "orders@") {
		t.Errorf("service name %q", cluster.GetEdsClusterConfig().GetServiceName())
	}
}
