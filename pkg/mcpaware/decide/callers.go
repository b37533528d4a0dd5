package decide

import (
	"net/netip"
	"strings"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
)

// callers tells callers apart.
type callers struct {
	// header whose value names a caller; empty for none.
	header  string
	trusted []netip.Prefix
}

const (
	headerForwarded = "x-forwarded-for"
	// ipv6Bits of an address are one caller's: whoever has one address of such a network has all.
	ipv6Bits = 64
	// maxHops bounds how far back in x-forwarded-for trusted proxies are followed.
	maxHops = 64
)

// digest stands for a caller: a hash over the header's value, else over the client's address. Nothing
// known is one caller.
func (c *callers) digest(h Header) digest {
	var buffer [512]byte
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
	out := callers{header: p.GetHeader()}
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
