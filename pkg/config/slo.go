package config

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds on an SLO.
const (
	minAvailability = Objective(50_000)
	maxAvailability = Objective(99_999)
	maxP95          = Duration(10 * time.Minute)
)

// objectiveDigits after the point.
const objectiveDigits = 3

// objectiveScale is one percent.
const objectiveScale = 1000

func parseObjective(s string) (Objective, bool) {
	number, found := strings.CutSuffix(s, "%")
	whole, fraction, pointed := strings.Cut(number, ".")
	switch {
	case !found || whole == "" || len(whole) > 3 || leading(whole, "0123456789") != whole:
		return 0, false
	case pointed && (fraction == "" || len(fraction) > objectiveDigits || leading(fraction, "0123456789") != fraction):
		return 0, false
	}
	n, err := strconv.Atoi(whole + fraction + strings.Repeat("0", objectiveDigits-len(fraction)))
	return Objective(n), err == nil
}

// suggestObjective is a hint for text that is not an objective; may be empty.
func suggestObjective(s string) string {
	trimmed := strings.ToLower(strings.Join(strings.Fields(s), ""))
	for _, suffix := range []string{"%", "percent", "pct", ""} {
		number, ok := strings.CutSuffix(trimmed, suffix)
		if !ok {
			continue
		}
		if _, ok := parseObjective(number + "%"); !ok {
			continue
		}
		if share, err := strconv.ParseFloat(number, 64); err == nil && share < 1 {
			return meant(Objective(share*100*objectiveScale + 0.5).String())
		}
		return meant(number + "%")
	}
	if share, err := strconv.ParseFloat(trimmed, 64); err == nil && share > 0 && share < 1 {
		return meant(Objective(share*100*objectiveScale + 0.5).String())
	}
	return ""
}

func (d *decoder) objective(n *yaml.Node, target *Objective, path string) {
	if n.Kind != yaml.ScalarNode {
		d.doc.report(path, "", "got %s, want a share such as 99.9%%", got(n))
		return
	}
	parsed, ok := parseObjective(n.Value)
	if !ok {
		d.doc.report(path, cmp.Or(suggestObjective(n.Value), "write it like 99.9%"), "%s is not a share with at most three digits after the point", quote(n.Value))
		return
	}
	*target = parsed
}

// Ratio is o as a number from 0 to 1.
func (o Objective) Ratio() float64 { return float64(o) / (100 * objectiveScale) }

// String writes o with its sign.
func (o Objective) String() string {
	text := strconv.FormatFloat(float64(o)/objectiveScale, 'f', objectiveDigits, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".") + "%"
}

// MarshalYAML writes o with its sign.
func (o Objective) MarshalYAML() (any, error) { return o.String(), nil }

// MarshalJSON writes o with its sign.
func (o Objective) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(o.String())), nil }

func checkSLO(doc *document, path string, slo *SLO) {
	if slo == nil {
		return
	}
	rangeAt(doc, path+".availability", slo.Availability, minAvailability, maxAvailability)
	rangeAt(doc, path+".p95", slo.P95, minTimeout, maxP95)
	if doc.clean(path) && slo.Availability == 0 && slo.P95 == 0 {
		doc.report(path, "write availability, p95 or both", "says nothing")
	}
}
