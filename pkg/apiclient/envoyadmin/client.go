// Package envoyadmin asks a running Envoy what it has (its administration interface:
// /config_dump, /clusters, /server_info) and compares that with what the control plane
// means it to have.
package envoyadmin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
)

// Limits of a question.
const (
	timeout     = 10 * time.Second
	dialTimeout = 2 * time.Second
	// maxAnswer is enough for the dump of some ten thousand clusters, in bytes.
	maxAnswer = 256 << 20
)

// Client asks one Envoy. It is safe for concurrent use.
type Client struct {
	address string
	http    *http.Client
}

// New makes a client of the administration interface at host:port. Close it when it is
// not needed any more.
func New(address string) (*Client, error) {
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("Envoy's admin address %q is not host:port", address) //nolint:staticcheck // Envoy is a name
	}
	return &Client{address: address, http: &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Address is the host:port that is asked.
func (c *Client) Address() string { return c.address }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// NodeID is the node.id of the Envoy (/server_info).
func (c *Client) NodeID(ctx context.Context) (string, error) {
	var answer struct {
		Node struct {
			ID string `json:"id"`
		} `json:"node"`
	}
	if err := c.get(ctx, "/server_info", &answer); err != nil {
		return "", err
	}
	return answer.Node.ID, nil
}

// get asks for JSON. Names that are not known are passed over: Envoy says much more.
func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking Envoy at %s: %w", c.address, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) && dial.Op == "dial" {
			return fmt.Errorf("no Envoy answers at its admin address %s (%w): --envoy-admin says where it is", c.address, dial.Err)
		}
		return fmt.Errorf("asking Envoy: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s with status %d: it is not an Envoy's admin address", c.address, path, resp.StatusCode)
	}
	limited := &io.LimitedReader{R: resp.Body, N: maxAnswer}
	if err := json.UnmarshalRead(limited, into); err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("%s answers %s with more than %d bytes", c.address, path, maxAnswer)
		}
		return fmt.Errorf("reading what Envoy at %s says to %s: %w", c.address, path, err)
	}
	return nil
}
