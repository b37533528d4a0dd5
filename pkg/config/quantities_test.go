package config

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestParseDuration(t *testing.T) {
	tests := map[string]time.Duration{
		"0s": 0, "0ms": 0, "800ms": 800 * time.Millisecond, "2s": 2 * time.Second, "1.5s": 1500 * time.Millisecond,
		"1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d2h3m4s5ms": 26*time.Hour + 3*time.Minute + 4*time.Second + 5*time.Millisecond,
		"0.5d": 12 * time.Hour, "90m": 90 * time.Minute, "1m0.001s": time.Minute + time.Millisecond, "106751d": 106751 * day,
	}
	for text, want := range tests {
		if got, err := ParseDuration(text); err != nil || got != Duration(want) {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "2", "s", "2 s", "2sec", "-2s", "+2s", ".5s", "5.s", "1.2345s", "0.5ms", "1us", "1ns", "1s1s", "1s1m", "1m1m", "1e3s",
		"106752d", "106751d24h", "9223372036854775808ms", "٢s", "2s\n", "2S", "1w", "mm", "1dh",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestDurationSuggestions(t *testing.T) {
	tests := map[string]string{
		"2 s": `did you mean "2s"?`, "2sec": `did you mean "2s"?`, "5 minutes": `did you mean "5m"?`, "1hr": `did you mean "1h"?`,
		"2S": `did you mean "2s"?`, "500 msec": `did you mean "500ms"?`, "1w": `did you mean "7d"?`, "2": "durations have a unit: 2s?",
		"1.5": "durations have a unit: 1.5s?", "soon": "", "": "", "1us": "", "1m1h": "", "1.2.3": "", "999999999w": "",
		strings.Repeat("1s", 100): "", "2days3hours": `did you mean "2d3h"?`,
	}
	for text, want := range tests {
		if got := suggestDuration(text); got != want {
			t.Errorf("suggestDuration(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestDurationPrints(t *testing.T) {
	tests := map[Duration]string{
		0: "0s", Duration(time.Millisecond): "1ms", Duration(999 * time.Millisecond): "999ms", Duration(1500 * time.Millisecond): "1.5s",
		Duration(time.Minute): "1m", Duration(90 * time.Minute): "1h30m", Duration(24 * time.Hour): "1d",
		Duration(time.Minute + 5*time.Millisecond): "1m0.005s", Duration(time.Microsecond): "1µs", Duration(-time.Second): "-1s",
	}
	for d, want := range tests {
		if got := d.String(); got != want {
			t.Errorf("%d prints as %q, want %q", d, got, want)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		d := Duration(random.Int64N(1<<random.IntN(44))) * minTimeout
		if got, err := ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%v, %v is read from %q", got, err, d)
		}
	}
}

func TestByteSize(t *testing.T) {
	tests := map[string]ByteSize{"0": 0, "4096": 4096, "64KiB": 65536, "4MiB": 4 << 20, "1025": 1025}
	for text, want := range tests {
		if got, err := ParseByteSize(text); err != nil || got != want {
			t.Errorf("ParseByteSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{
		"4MB": `did you mean "4MiB"?`, "4 mib": `did you mean "4MiB"?`, "64k": `did you mean "64KiB"?`, "12 bytes": `did you mean "12"?`,
		"": "", "-1": "", "1.5MiB": "", "4GiB": "", "KiB": "", "9223372036854775807KiB": "", "99999999999999999999": "",
	} {
		if got, err := ParseByteSize(text); err == nil || !strings.HasSuffix(err.Error(), hint) {
			t.Errorf("ParseByteSize(%q) = %v, %v, want an error with %q", text, got, err, hint)
		}
	}
	for size, want := range map[ByteSize]string{0: "0", 1023: "1023", 1024: "1KiB", 1536: "1536", 1 << 20: "1MiB", 1<<20 + 1024: "1025KiB"} {
		if size.String() != want {
			t.Errorf("%d prints as %s, want %s", size, size, want)
		}
		if got, err := ParseByteSize(size.String()); err != nil || got != size {
			t.Errorf("%v, %v is read from %q", got, err, size)
		}
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]Percent{"0%": 0, "20%": 20, "100%": 100, "007%": 7, "999999%": 999_999} {
		if got, ok := parsePercent(text); !ok || got != want {
			t.Errorf("parsePercent(%q) = %v, %v, want %v", text, got, ok, want)
		}
	}
	for text, hint := range map[string]string{
		"20": `did you mean "20%"?`, "0.2": `did you mean "20%"?`, "20 %": `did you mean "20%"?`, "20 percent": `did you mean "20%"?`,
		"": "", "%": "", "-1%": "", "1.5%": "", "1000000%": "", "١%": "",
	} {
		if got, ok := parsePercent(text); ok {
			t.Errorf("parsePercent(%q) = %v, want none", text, got)
		}
		if got := suggestPercent(text); got != hint {
			t.Errorf("suggestPercent(%q) = %q, want %q", text, got, hint)
		}
	}
}

// TestAllButOne: the default share lets an endpoint be ejected where another stays, and never the last one.
func TestAllButOne(t *testing.T) {
	for n := range 5000 {
		share := int(allButOne(n))
		if n > 0 && 100*n <= share*n {
			t.Errorf("%d%% of %d endpoints are all of them", share, n)
		}
		if n >= 2 && n <= 100 && 100*(n-1) > share*n {
			t.Errorf("%d%% of %d endpoints are not all but one", share, n)
		}
	}
}

func TestMarshalling(t *testing.T) {
	tests := []struct {
		value      any
		json, yaml string
	}{
		{Duration(1500 * time.Millisecond), `"1.5s"`, "1.5s"},
		{Percent(20), `"20%"`, "20%"},
		{ByteSize(1500), `1500`, "1500"},
		{ByteSize(4 << 20), `"4MiB"`, "4MiB"},
		{Scalar{`"web"`}, `"web"`, "web"},
		{Scalar{`"1"`}, `"1"`, `"1"`},
		{Scalar{`1`}, `1`, `1`},
		{Scalar{`"on"`}, `"on"`, `"on"`},
		{Scalar{`"null"`}, `"null"`, `"null"`},
		{Scalar{`null`}, `null`, `null`},
		{Scalar{}, `null`, `null`},
		{Scalar{`false`}, `false`, `false`},
		{Scalar{`"a\u0000\n"`}, `"a\u0000\n"`, `"a\0\n"`},
	}
	for _, test := range tests {
		if got, err := json.Marshal(test.value); err != nil || string(got) != test.json {
			t.Errorf("%v is %s, %v in JSON, want %s", test.value, got, err, test.json)
		}
		if got, err := yaml.Marshal(test.value); err != nil || strings.TrimSpace(string(got)) != test.yaml {
			t.Errorf("%v is %s, %v in YAML, want %s", test.value, got, err, test.yaml)
		}
	}
}

func TestScalarCanonical(t *testing.T) {
	same := [][2]string{{"1", "1.0"}, {"1", "10e-1"}, {"0", "-0"}, {"1e3", "1000"}, {`"a"`, `"a"`}}
	different := [][2]string{{"1", `"1"`}, {"true", `"true"`}, {"9007199254740992", "9007199254740993"}, {"null", `""`}, {`"1"`, `"1.0"`}}
	for _, pair := range same {
		if (Scalar{pair[0]}).canonical() != (Scalar{pair[1]}).canonical() {
			t.Errorf("%s and %s are told apart", pair[0], pair[1])
		}
	}
	for _, pair := range different {
		if (Scalar{pair[0]}).canonical() == (Scalar{pair[1]}).canonical() {
			t.Errorf("%s and %s are taken for the same", pair[0], pair[1])
		}
	}
}

func TestNearest(t *testing.T) {
	options := []string{"connectTimeout", "path", "regions", "healthCheck", "activePassive", "MCPRoute"}
	for word, want := range map[string]string{
		"conectTimeout": "connectTimeout", "connect_timeout": "connectTimeout", "ACTIVE-PASSIVE": "activePassive", "pth": "path",
		"patch": "path", "region": "regions", "helathCheck": "healthCheck", "MCPRuote": "MCPRoute",
		"": "", "x": "", "colour": "", "pa": "", "timeout": "", strings.Repeat("path", 50): "",
	} {
		if got := nearest(word, options); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
