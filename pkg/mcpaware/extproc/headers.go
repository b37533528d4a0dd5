package extproc

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// headers is a header list as Envoy sends it: names in lower case, pseudo headers
// among them. It implements decide.Header.
type headers []*corev3.HeaderValue

func headerValue(h *corev3.HeaderValue) string {
	if raw := h.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return h.GetValue()
}

// Values returns the values of one header in order, nil where it is absent.
func (h headers) Values(name string) []string {
	var out []string
	for _, v := range h {
		if v.GetKey() == name {
			out = append(out, headerValue(v))
		}
	}
	return out
}

// WithPrefix returns the distinct names that begin with prefix.
func (h headers) WithPrefix(prefix string) []string {
	var out []string
	for _, v := range h {
		if strings.HasPrefix(v.GetKey(), prefix) && !contains(out, v.GetKey()) {
			out = append(out, v.GetKey())
		}
	}
	return out
}

// first returns the first value of a header, "" where it is absent.
func (h headers) first(name string) string {
	for _, v := range h {
		if v.GetKey() == name {
			return headerValue(v)
		}
	}
	return ""
}

// with returns the headers with one value of name in the place of all of its values.
func (h headers) with(name, value string) headers {
	out := make(headers, 0, len(h)+1)
	for _, v := range h {
		if v.GetKey() != name {
			out = append(out, v)
		}
	}
	return append(out, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
}

// status returns :status, 0 where it is missing or no number.
func (h headers) status() int {
	n, err := strconv.Atoi(h.first(":status"))
	if err != nil || n < 100 || n > 999 {
		return 0
	}
	return n
}

// contentLength returns content-length, -1 where there is none that can be relied on.
func (h headers) contentLength() int64 {
	values := h.Values("content-length")
	if len(values) != 1 {
		return -1
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// mediaType returns the essence of content-type in lower case, "" where the
// header is absent or repeated.
func (h headers) mediaType() string {
	values := h.Values("content-type")
	if len(values) != 1 {
		return ""
	}
	essence, _, _ := strings.Cut(values[0], ";")
	return strings.ToLower(strings.TrimSpace(essence))
}

// own returns the names of Holdfast's headers that are there.
func (h headers) own() []string { return h.WithPrefix(names.HeaderPrefix) }

// foreign returns the names of headers that a server may not send: Holdfast's, and those
// by which Envoys talk to each other, which it would act on or pass to clients.
func (h headers) foreign() []string {
	return append(h.own(), h.WithPrefix(names.EnvoyHeaderPrefix)...)
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// maxHeaderWord bounds what is written into a header of ours.
const maxHeaderWord = 256

// headerWord returns s where it can stand in a header as it is, "" otherwise.
func headerWord(s string) string {
	if len(s) > maxHeaderWord {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
