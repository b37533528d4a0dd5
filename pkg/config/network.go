package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// badAddress is for IP:port in the form in which Envoy reports addresses.
func badAddress(s string) (problem, hint string) {
	if problem = addressProblem(s); problem == "" {
		return "", ""
	}
	return problem, addressHint(s)
}

func addressProblem(s string) string {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return quote(s) + " is not an IP address and port"
	}
	addr := ap.Addr()
	switch {
	case ap.Port() == 0:
		return fmt.Sprintf("port 0 of %s is not a port", quote(s))
	case addr.Zone() != "":
		return quote(s) + " has a zone, which is not supported"
	case addr.IsMulticast():
		return quote(s) + " is a multicast address"
	case addr.Is4In6():
		return quote(s) + " is an IPv4 address written as IPv6"
	case ap.String() != s:
		return quote(s) + " is not in its usual form"
	}
	return ""
}

func addressHint(s string) string {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		if near := netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String(); addressProblem(near) == "" {
			return meant(near)
		}
		return ""
	}
	rest := s
	if _, after, ok := strings.Cut(s, "://"); ok {
		rest = strings.TrimRight(after, "/")
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		if addr, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
			return "the port is missing: " + strconv.Quote(net.JoinHostPort(addr.String(), "…"))
		}
		return ""
	}
	switch host {
	case "localhost":
		host = "127.0.0.1"
	case "":
		return "the IP address is missing"
	}
	if near := net.JoinHostPort(host, port); addressProblem(near) == "" {
		return meant(near)
	}
	if _, err := netip.ParseAddr(host); err != nil && hostProblem(host, false) == "" && addressProblem(net.JoinHostPort("127.0.0.1", port)) == "" {
		return "host names are not looked up: write the IP address"
	}
	return ""
}

// hostProblem is for lower-case host names and IP addresses without a port; an
// IPv6 address stands in brackets in an origin and bare elsewhere.
func hostProblem(s string, brackets bool) string {
	bare, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		bare = strings.TrimSuffix(bare, "]")
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		if addr.Is6() && bracketed != brackets || addr.Zone() != "" || addr.String() != bare {
			return quote(s) + " is not an IP address in its usual form"
		}
		return ""
	}
	if s == "" || len(s) > maxHostBytes || bracketed {
		return quote(s) + " is not a host name"
	}
	for label := range strings.SplitSeq(s, ".") {
		ok := label != "" && len(label) <= maxNameBytes && label[0] != '-' && label[len(label)-1] != '-'
		for _, c := range []byte(label) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_')
		}
		if !ok {
			return quote(s) + " is not a host name in lower case"
		}
	}
	return ""
}

// badAllowedHost is for an entry of allowedHosts.
func badAllowedHost(s string) (problem, hint string) {
	problem = hostProblem(s, false)
	if problem == "" {
		return "", ""
	}
	candidate := strings.ToLower(s)
	if _, after, ok := strings.Cut(candidate, "://"); ok {
		candidate, _, _ = strings.Cut(after, "/")
	}
	if host, _, err := net.SplitHostPort(candidate); err == nil {
		candidate = host
	}
	candidate = strings.Trim(candidate, "[]")
	if addr, err := netip.ParseAddr(candidate); err == nil {
		candidate = addr.String()
	}
	switch {
	case strings.Contains(s, anyValue):
		return quote(s) + " is not a host name", `there are no wildcards but "*" alone`
	case hostProblem(candidate, false) == "":
		return problem, meant(candidate)
	}
	return problem, ""
}

// badOrigin is for scheme://host[:port] (RFC 6454, as browsers send it).
func badOrigin(s string) (problem, hint string) {
	if problem = originProblem(s); problem == "" {
		return "", ""
	}
	if strings.Contains(s, anyValue) {
		return problem, `there are no wildcards but "*" alone`
	}
	near := strings.ToLower(s)
	scheme, rest, ok := strings.Cut(near, "://")
	if !ok {
		scheme, rest = "https", near
	}
	if ok || strings.ContainsAny(rest, ".:") {
		authority, _, _ := strings.Cut(rest, "/")
		if near = scheme + "://" + authority; originProblem(near) == "" {
			return problem, meant(near)
		}
	}
	return problem, ""
}

func originProblem(s string) string {
	problem := quote(s) + " is not an origin such as https://agents.example.com"
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || len(s) > maxOriginBytes {
		return problem
	}
	if u, err := url.Parse(s); err != nil || u.Scheme != scheme || u.Host != rest {
		return problem
	}
	host := rest
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, ']') {
		port := rest[colon+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return fmt.Sprintf("%s: %s is not a port", quote(s), quote(port))
		}
		host = rest[:colon]
	}
	if hostProblem(host, true) != "" {
		return problem
	}
	return ""
}

// badProcessor is for unix:///path and IP:port.
func badProcessor(s string) (problem, hint string) {
	path, ok := strings.CutPrefix(s, "unix://")
	if !ok {
		if strings.HasPrefix(s, "/") {
			return quote(s) + " is neither unix:///path nor IP:port", meant("unix://" + s)
		}
		return badAddress(s)
	}
	switch {
	case !strings.HasPrefix(path, "/"):
		return quote(s) + " is not an absolute path", "a socket at /run/x.sock is unix:///run/x.sock"
	case len(path) > maxPipePathBytes:
		return fmt.Sprintf("the path of %s is longer than %d bytes, the limit of Unix sockets", quote(s), maxPipePathBytes), ""
	case strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }):
		return quote(s) + " holds unprintable characters", ""
	}
	return "", ""
}
