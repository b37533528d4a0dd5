package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json"
)

// DefaultCA is JWTKeys.CA.
const DefaultCA = "/etc/ssl/certs/ca-certificates.crt"

func (j *JWT) applyDefaults() {
	if j == nil {
		return
	}
	setDefault(&j.Missing, MissingRefuse)
	setDefault(&j.Forward, Off)
	if strings.HasPrefix(j.Keys.URL, "https://") {
		setDefault(&j.Keys.CA, DefaultCA)
	}
}

func checkJWT(g loaded[Gateway]) {
	j := g.value.Spec.JWT
	if j == nil {
		return
	}
	g.textAt("spec.jwt.issuer", j.Issuer, badIssuer)
	g.textsAt("spec.jwt.audiences", j.Audiences, maxAudiences, badIssuer)
	checkJWTKeys(g, j.Keys)
}

func checkJWTKeys(g loaded[Gateway], k JWTKeys) {
	const at = "spec.jwt.keys"
	given := 0
	for _, source := range []struct {
		path, value string
		bad         func(string) (problem, hint string)
	}{
		{at + ".file", k.File, badFile}, {at + ".inline", k.Inline, badKeySet}, {at + ".url", k.URL, badKeyURL},
	} {
		if g.written(source.path) {
			given++
			g.textAt(source.path, source.value, source.bad)
		}
	}
	if given != 1 && g.clean(at) {
		g.report(at, "", "has %d of file, inline and url, and needs one of them", given)
	}
	if g.written(at + ".ca") {
		if !strings.HasPrefix(k.URL, "https://") {
			g.report(at+".ca", "", "is of use for an https url only")
			return
		}
		g.textAt(at+".ca", k.CA, badFile)
	}
}

// badIssuer is for the name of an issuer or an audience: a URL as a rule, but any text
// will do (RFC 7519, StringOrURI).
func badIssuer(s string) (problem, hint string) {
	if s == "" || len(s) > maxIssuerBytes {
		return fmt.Sprintf("%s has not 1 to %d bytes", quote(s), maxIssuerBytes), ""
	}
	if trimmed := strings.TrimSpace(s); trimmed != s {
		return quote(s) + " begins or ends with a space", meant(trimmed)
	}
	return "", ""
}

// badFile is for a file on another machine.
func badFile(s string) (problem, hint string) {
	if !filepath.IsAbs(s) {
		return quote(s) + " is not an absolute path", ""
	}
	if clean := filepath.Clean(s); clean != s {
		return quote(s) + " is not in its usual form", meant(clean)
	}
	return "", ""
}

// badKeySet is for a JSON Web Key Set. What Envoy makes of the keys is its own matter; private ones have
// no business here.
func badKeySet(s string) (problem, hint string) {
	if len(s) > maxKeyBytes {
		return fmt.Sprintf("is longer than %d bytes", maxKeyBytes), ""
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(s), &set); err != nil {
		return "is not a JSON Web Key Set: it is no JSON object with keys", ""
	}
	if len(set.Keys) == 0 {
		return "is not a JSON Web Key Set: it has no keys", ""
	}
	for i, key := range set.Keys {
		if _, ok := key["kty"].(string); !ok {
			return fmt.Sprintf("is not a JSON Web Key Set: keys[%d] has no kty", i), ""
		}
		for _, private := range []string{"d", "k", "p", "q"} {
			if _, ok := key[private]; ok {
				return fmt.Sprintf("keys[%d] has the member %q: that is a secret key, and whoever sees it can make tokens", i, private), "give the public half"
			}
		}
	}
	return "", ""
}

// badKeyURL is for where keys are got: nobody on the way may replace them.
func badKeyURL(s string) (problem, hint string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return quote(s) + " is not a URL such as https://issuer.example/jwks.json", ""
	}
	if problem := hostProblem(strings.Trim(u.Hostname(), "[]"), false); problem != "" {
		return problem, ""
	}
	switch u.Scheme {
	case "https":
		return "", ""
	case "http":
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.IsLoopback() {
			return "", ""
		}
		return quote(s) + " is not https, and is another machine's: whoever is on the way could replace the keys", meant("https" + strings.TrimPrefix(s, "http"))
	}
	return quote(s) + " is neither https nor http", ""
}
