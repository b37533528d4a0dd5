package decide

import (
	"net/netip"
	"strconv"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// callers tells callers apart.
type callers struct {
	// header whose value names a caller; empty for none.
	header  string
	trusted []netip.Prefix
	// verified: Envoy checks tokens, and names.HeaderSubject is the subject of one.
	verified bool
}

// subject of the caller's token, which Envoy has checked; empty where there is none.
func (c *callers) subject(h Header) string {
	if !c.verified {
		return ""
	}
	if values := h.Values(names.HeaderSubject); len(values) == 1 {
		return values[0]
	}
	return ""
}

// Subject of the caller's token, which Envoy has checked; empty where there is none.
func (r *Route) Subject(h Header) string { return r.meters.callers.subject(h) }

// boundTo says what a session is bound to, where its server binds it to a header.
func (c *callers) boundTo(header string) string {
	if c.verified {
		return "the subject of the checked token, else to the value of " + strconv.Quote(header) + ","
	}
	return "the value of " + strconv.Quote(header)
}

// words say what tells callers apart.
func (c *callers) words() string {
	out := "client address"
	if c.header != "" {
		out = c.header + " header, else by the " + out
	}
	if c.verified {
		out = "subject of the token that Envoy has checked, else by the " + out
	}
	return "told apart by the " + out
}

const (
	headerForwarded = "x-forwarded-for"
	// ipv6Bits of an address are one caller's: whoever has one address of such a network has all.
	ipv6Bits = 64
	// maxHops bounds how far back in x-forwarded-for trusted proxies are followed.
	maxHops = 64
)

// digest stands for a caller: a hash over the token's subject, else the header's value, else over the client's address. Nothing
// known is one caller.
func (c *callers) digest(h Header) digest {
	var buffer [512]byte
	if subject := c.subject(h); subject != "" {
		return digestOf(append(append(buffer[:0], "subject\x00\x00"...), subject...))
	}
	if c.header != "" {
		if values := h.Values(c.header); len(values) > 0 {
			text := append(append(buffer[:0], c.header...), 0)
			return digestOf(append(text, values[0]...))
		}
	}
	text := append(buffer[:0], "address\x00"...)
	return digestOf(append(text, c.address(h)...))
}

// address is the client's: the last one of x-forwarded-for that is no trusted proxy's. Envoy appends the one that it
// is connected to, and what stands before that of a client is the client's word. An IPv6 address
// stands for its network.
func (c *callers) address(h Header) string {
	values := h.Values(headerForwarded)
	last := ""
	for hop, i := 0, len(values)-1; i >= 0 && hop < maxHops; i-- {
		for rest := values[i]; rest != "" && hop < maxHops; hop++ {
			text := rest
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, text = rest[:comma], rest[comma+1:]
			} else {
				rest = ""
			}
			addr, err := netip.ParseAddr(strings.TrimSpace(text))
			if err != nil {
				return last
			}
			addr = addr.Unmap().WithZone("")
			if last = network(addr); !c.trusts(addr) {
				return last
			}
		}
	}
	return last
}

func network(addr netip.Addr) string {
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(ipv6Bits)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}

func (c *callers) trusts(addr netip.Addr) bool {
	for _, p := range c.trusted {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func (c *compiler) callers(p *policyv1.Callers) callers {
	out := callers{header: p.GetHeader(), verified: p.GetVerified()}
	for _, text := range p.GetTrustedProxies() {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			c.problem("callers.trusted_proxies", "%q is not a range of addresses", text)
			continue
		}
		out.trusted = append(out.trusted, prefix)
	}
	return out
}
