package testbed

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// plainBootstrap is an Envoy that does nothing but pass calls on to one server.
const plainBootstrap = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: %s}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: plain
                route_config:
                  virtual_hosts:
                    - {name: plain, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: server, timeout: 0s}}]}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: server
      connect_timeout: 1s
      load_assignment:
        cluster_name: server
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
`

// plainEnvoy starts a plain Envoy in front of the named server and returns its address.
func (b *Bed) plainEnvoy(server string) string {
	b.t.Helper()
	reserve := func() (address, port string) {
		address = stacktest.Address(b.t)
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			b.t.Fatal(err)
		}
		return address, port
	}
	listen, listenPort := reserve()
	admin, adminPort := reserve()
	_, serverPort, err := net.SplitHostPort(b.Addr(server))
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.Dir, "plain.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, plainBootstrap, adminPort, listenPort, serverPort), 0o600); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = b.sup.Start(ctx, stack.Envoy(Parts(b.t).Envoy, stack.EnvoyOptions{
		Name: "envoy-plain", Bootstrap: path, Admin: admin, Listener: listen, Concurrency: 1,
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	return listen
}
