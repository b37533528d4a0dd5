package apiclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// address is where the API is.
type address struct {
	// shown is the address as people gave it, base the URL that calls are made under.
	shown, base string
	// network and target are what is dialled, network "" for the host of the URL.
	network, target string
}

const forms = "it is http://host:port, https://host:port, unix:///path or host:port"

func parseAddress(text string) (address, error) {
	if text == "" {
		return address{}, errNoServer
	}
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return address{}, fmt.Errorf("server %q: the path of a unix socket is absolute, such as unix:///run/holdfast/admin.sock", text)
		}
		// The host is what the server checks against foreign names; there is no real one.
		return address{shown: text, base: "http://localhost", network: "unix", target: path}, nil
	}
	whole := text
	if !strings.Contains(text, "://") {
		whole = "http://" + text
	}
	u, err := url.Parse(whole)
	if err != nil {
		return address{}, fmt.Errorf("server %q: %s", text, forms)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || (u.Path != "" && u.Path != "/") ||
		u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return address{}, fmt.Errorf("server %q: %s", text, forms)
	}
	return address{shown: strings.TrimSuffix(text, "/"), base: u.Scheme + "://" + u.Host}, nil
}

// private: nobody else on the network can read along.
func (a address) private() bool {
	u, err := url.Parse(a.base)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return a.network == "unix" || u.Scheme == "https" || u.Hostname() == "localhost" || (err == nil && ip.Unmap().IsLoopback())
}

func (a address) dial(dialer *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	if a.network == "" {
		return dialer.DialContext
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, a.network, a.target) //nolint:wrapcheck // a dialer
	}
}
