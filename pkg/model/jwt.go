package model

import (
	"fmt"
	"net/url"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// JWT says which tokens are good; see config.JWT.
type JWT struct {
	Issuer    string
	Audiences []string
	// One of File, Inline and URL.
	File, Inline string
	URL          *KeyURL
	// AllowMissing lets requests without a token through; Forward sends tokens on to servers.
	AllowMissing, Forward bool
}

// KeyURL is where Envoy gets keys.
type KeyURL struct {
	URL  string
	Host string
	Port uint32
	// CA is a file of authorities; empty: no TLS.
	CA string
}

func (b *builder) jwt(g config.Gateway) *JWT {
	j := g.Spec.JWT
	if j == nil {
		return nil
	}
	out := &JWT{
		Issuer: j.Issuer, Audiences: j.Audiences, File: j.Keys.File, Inline: j.Keys.Inline,
		AllowMissing: j.Missing == config.MissingAllow, Forward: j.Forward == config.On,
	}
	if j.Keys.URL == "" {
		return out
	}
	u, err := url.Parse(j.Keys.URL)
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("gateway %q: the keys' url: %w", g.Metadata.Name, err))
		return out
	}
	address := u.Host
	if u.Port() == "" {
		address += map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	}
	out.URL = &KeyURL{URL: j.Keys.URL, CA: j.Keys.CA}
	out.URL.Host, out.URL.Port = b.address("Gateway "+g.Metadata.Name+", keys of tokens", address)
	return out
}
