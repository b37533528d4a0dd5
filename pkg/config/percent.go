package config

import (
	"cmp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxPercentDigits keeps every number that is written within an int.
const maxPercentDigits = 6

func parsePercent(s string) (Percent, bool) {
	number, found := strings.CutSuffix(s, "%")
	if !found || number == "" || len(number) > maxPercentDigits || leading(number, "0123456789") != number {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return Percent(n), err == nil
}

// suggestPercent is a hint for text that is not a percentage; may be empty.
func suggestPercent(s string) string {
	trimmed := strings.ToLower(strings.Join(strings.Fields(s), ""))
	for _, suffix := range []string{"%", "percent", "pct", "p", ""} {
		if number, ok := strings.CutSuffix(trimmed, suffix); ok {
			if _, ok := parsePercent(number + "%"); ok {
				return meant(number + "%")
			}
		}
	}
	if share, err := strconv.ParseFloat(trimmed, 64); err == nil && share > 0 && share < 1 {
		return meant(strconv.Itoa(int(share*100+0.5)) + "%")
	}
	return ""
}

func (d *decoder) percent(n *yaml.Node, target *Percent, path string) {
	if n.Kind != yaml.ScalarNode {
		d.doc.report(path, "", "got %s, want a percentage such as 20%%", got(n))
		return
	}
	parsed, ok := parsePercent(n.Value)
	if !ok {
		d.doc.report(path, cmp.Or(suggestPercent(n.Value), "write it like 20%"), "%s is not a percentage", quote(n.Value))
		return
	}
	*target = parsed
}

// String writes p with its sign.
func (p Percent) String() string { return strconv.Itoa(int(p)) + "%" }

// MarshalYAML writes p with its sign.
func (p Percent) MarshalYAML() (any, error) { return p.String(), nil }

// MarshalJSON writes p with its sign.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(p.String())), nil }
