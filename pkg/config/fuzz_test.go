package config_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// FuzzParse: whatever a file holds, Parse ends without a panic, gives a
// configuration or problems with positions, never both, and a configuration
// means the same once printed.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"testdata/valid", "testdata/invalid", "../../examples/shopmax"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", dir, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse([]config.File{{Name: "f.yaml", Data: data}})
		if err != nil {
			checkError(t, c, err)
			return
		}
		roundTrip(t, c)
	})
}

func checkError(t *testing.T, c *config.Config, err error) {
	t.Helper()
	if c != nil {
		t.Errorf("a configuration and an error: %v", err)
	}
	var problems config.Problems
	if !errors.As(err, &problems) {
		if !errors.Is(err, config.ErrEmpty) {
			t.Errorf("neither problems nor ErrEmpty: %v", err)
		}
		return
	}
	if len(problems) == 0 || len(problems) > config.MaxProblems+1 {
		t.Errorf("%d problems", len(problems))
	}
	for _, p := range problems {
		if line := p.String(); strings.ContainsAny(line, "\n\r\x1b") || p.Message == "" {
			t.Errorf("not one plain line: %q", line)
		}
	}
}

func roundTrip(t *testing.T, c *config.Config) {
	t.Helper()
	printed, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Parse([]config.File{{Name: "printed.yaml", Data: printed}})
	if err != nil {
		t.Fatalf("what YAML prints does not parse: %v\n%s", err, printed)
	}
	if diff := sameConfig(c, again); diff != "" {
		t.Fatalf("what YAML prints means something else:\n%s\n%s", diff, printed)
	}
}

// generator writes configurations that are valid by construction.
type generator struct{ *rand.Rand }

func (g generator) pick(options ...string) string { return options[g.IntN(len(options))] }

// maybe gives text half of the time.
func (g generator) maybe(text string) string {
	if g.IntN(2) == 0 {
		return ""
	}
	return text
}

func (g generator) server(name string, port int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "kind: MCPServer\nmetadata: {name: %s}\nspec:\n", name)
	out.WriteString(g.maybe("  path: " + g.pick("/", "/mcp", "/v1/mcp/", "/a~b@c:d") + "\n"))
	out.WriteString(g.maybe("  failover: {mode: " + g.pick("activePassive", "activeActive", "nearest") + "}\n"))
	out.WriteString(g.maybe("  connectTimeout: " + g.pick("1ms", "0.25s", "30s") + "\n"))
	out.WriteString(g.maybe("  healthCheck: {interval: " + g.pick("100ms", "1.5s", "5m") + g.maybe(", disabled: true") + g.maybe(", timeout: 50ms") + "}\n"))
	out.WriteString("  regions:\n")
	for r := range 1 + g.IntN(3) {
		fmt.Fprintf(&out, "    - name: region-%d\n      endpoints:\n", r)
		for e := range 1 + g.IntN(3) {
			host := g.pick("127.0.0.1", "10.0.0.1", "[2001:db8::1]")
			fmt.Fprintf(&out, "        - {address: \"%s:%d\"%s}\n", host, port+10*r+e, g.maybe(fmt.Sprintf(", name: e-%d-%d", r, e)))
		}
	}
	return out.String()
}

func (g generator) scalar() string {
	return g.pick("web", `"web"`, "1", `"1"`, "-1.5e10", "true", `"true"`, "null", `"null"`, `"on"`, `""`, `"\u0085\u2028\U0001F600"`, "no", "12345678901234567890", "'it''s'", `"  x  "`)
}

func (g generator) rule(i int) string {
	// The number keeps every rule reachable.
	match := g.pick(fmt.Sprintf("name: tool_%d", i), fmt.Sprintf(`name: "*_%d_?"`, i), fmt.Sprintf(`regex: "t_%d(a|\\d{2,})"`, i))
	match += g.maybe(fmt.Sprintf(", arguments: [{pointer: %s, %s}]", g.pick("/a", "/a/0/b~1c", `"/~0 x"`),
		g.pick("equals: "+g.scalar(), "in: ["+g.scalar()+"]", `regex: "[a-z ]+"`)))
	retry := g.maybe(", retry: {" + g.pick("attempts: 2", "perTryTimeout: 1s", "attempts: 2, perTryTimeout: 750ms", "backOff: {base: 20ms}", "") + "}")
	return fmt.Sprintf("    - {match: {%s}%s%s%s%s}\n", match, g.maybe(", safe: true"), g.maybe(", timeout: "+g.pick("1.5s", "2m", "1h")), g.maybe(", to: {server: s1}"), retry)
}

func (g generator) route() string {
	var out strings.Builder
	out.WriteString("kind: MCPRoute\nmetadata: {name: r}\nspec:\n  servers: [{name: s0}, {name: s1}]\n")
	out.WriteString(g.maybe("  timeout: " + g.pick("1.5s", "10s", "1h") + "\n"))
	out.WriteString(g.maybe("  errors: " + g.pick("mcp", "http") + "\n"))
	out.WriteString(g.maybe("  stamp: " + g.pick("on", "off") + "\n"))
	out.WriteString(g.maybe("  onProcessorFailure: " + g.pick("pass", "refuse") + "\n"))
	out.WriteString(g.maybe("  degrade: {staleLists: {maxAge: " + g.pick("0s", "90s", "7d") + "}}\n"))
	out.WriteString("  tools:\n")
	for i := range 1 + g.IntN(6) {
		out.WriteString(g.rule(i))
	}
	return out.String()
}

func (g generator) gateway() string {
	hosts := g.pick("[localhost]", "[example.com, \"2001:db8::1\", a_b]")
	return "kind: Gateway\nmetadata: {name: edge}\nspec:\n  address: " + g.pick("127.0.0.1:80", "0.0.0.0:443", `"[::1]:9"`) +
		"\n  allowedHosts: " + hosts + "\n" +
		g.maybe("  allowedOrigins: ["+g.pick(`"*"`, "https://a.example", `"http://[::1]:80", app://host`)+"]\n") +
		g.maybe("  maxBodyBytes: "+g.pick("1024", "1536", "64KiB", "4MiB")+"\n") +
		g.maybe("  processors: [unix:///run/x.sock, \"127.0.0.1:5\"]\n")
}

// Every valid configuration prints as one that means the same.
func TestRoundTrip(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	for range 500 {
		documents := []string{g.server("s0", 1000), g.server("s1", 2000), g.route(), g.maybe(g.gateway())}
		source := strings.Join(documents, "---\n")
		c, err := config.Parse([]config.File{{Name: "generated.yaml", Data: []byte(source)}})
		if err != nil {
			t.Fatalf("%v\n%s", err, source)
		}
		checkDefaults(t, c)
		roundTrip(t, c)
	}
}

// checkDefaults makes sure that no field is left whose zero value means a default.
func checkDefaults(t *testing.T, c *config.Config) {
	t.Helper()
	for _, s := range c.Servers {
		if s.Spec.Path == "" || s.Spec.Failover.Mode == "" || s.Spec.ConnectTimeout == 0 || s.Spec.HealthCheck.Interval == 0 || s.Spec.HealthCheck.Timeout == 0 {
			t.Errorf("server without defaults: %+v", s)
		}
	}
	for _, r := range c.Routes {
		spec := r.Spec
		if spec.Path == "" || spec.Errors == "" || spec.Stamp == "" || spec.OnProcessorFailure == "" || spec.Degrade.StaleLists.MaxAge == nil {
			t.Errorf("route without defaults: %+v", r)
		}
		checkTries(t, spec.Timeout, spec.Retry)
		for _, rule := range spec.Tools {
			checkTries(t, rule.Timeout, rule.Retry)
		}
	}
	g := c.Gateway.Spec
	if g.Address == "" || g.MaxBodyBytes == 0 || len(g.AllowedHosts) == 0 || len(g.AllowedOrigins) == 0 {
		t.Errorf("gateway without defaults: %+v", g)
	}
}

func checkTries(t *testing.T, timeout config.Duration, r config.Retry) {
	t.Helper()
	if timeout <= 0 || r.Attempts < 1 || r.PerTryTimeout <= 0 || r.BackOff.Base <= 0 || r.BackOff.Max < r.BackOff.Base ||
		config.Duration(r.Attempts)*r.PerTryTimeout+config.Duration(r.BackOff.Longest(r.Attempts)) > timeout {
		t.Errorf("%d attempts of %v in %v", r.Attempts, r.PerTryTimeout, timeout)
	}
}
