// Package dial leads a program's connections for one address to another one, as a name
// does that points to a gateway. A program has it by importing it.
package dial

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
)

// Variable of the environment: from=to, both host:port.
const Variable = "HOLDFAST_DIAL"

func init() { //nolint:gochecknoinits // the program that imports it is not ours
	from, to, ok := strings.Cut(os.Getenv(Variable), "=")
	transport, isTransport := http.DefaultTransport.(*http.Transport)
	if !ok || !isTransport {
		return
	}
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == from {
			address = to
		}
		return dial(ctx, network, address)
	}
}
