package decide

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
)

// principal tells the callers of a server apart: a hash over the subject of a checked token,
// else the Authorization header, else over the client's address as Envoy saw it (the last of x-forwarded-for). It is the same in all
// processors, since its key is the server's name. It has 16 bits: enough to see
// that there are two callers, too few to find out by trial what was hashed. 0 where nothing is known.
func (r *Route) principal(server string, h Header) uint64 {
	kind, secret := "authorization", ""
	if subject := r.Subject(h); subject != "" {
		kind, secret = "subject", subject
	} else if values := h.Values("authorization"); len(values) > 0 {
		secret = values[0]
	} else {
		kind, secret = "address", clientAddress(h)
	}
	if secret == "" {
		return 0
	}
	var buffer [512]byte
	text := append(buffer[:0], "holdfast caller\x00"...)
	text = append(append(text, server...), 0)
	text = append(append(text, kind...), 0)
	sum := sha256.Sum256(append(text, secret...))
	return 1 + uint64(binary.BigEndian.Uint16(sum[:]))
}

// clientAddress is what Envoy itself appended; what stands before it is the client's word.
func clientAddress(h Header) string {
	values := h.Values("x-forwarded-for")
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}
