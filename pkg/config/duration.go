package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// durationUnit gives the length of a unit; 0 when there is no such unit.
func durationUnit(name string) time.Duration {
	switch name {
	case "d":
		return day
	case "h":
		return time.Hour
	case "m":
		return time.Minute
	case "s":
		return time.Second
	case "ms":
		return time.Millisecond
	default:
		return 0
	}
}

// ParseDuration reads a duration such as 800ms, 2s, 1h30m, 1.5s or 7d: units d, h, m, s and
// ms, each at most once and the larger first, no sign. The smallest step is 1ms.
// The error says what was probably meant.
func ParseDuration(s string) (Duration, error) {
	d, ok := parseDuration(s)
	if ok {
		return d, nil
	}
	if hint := suggestDuration(s); hint != "" {
		return 0, fmt.Errorf("%s is not a duration; %s", quote(s), hint)
	}
	return 0, fmt.Errorf("%s is not a duration such as 800ms, 2s or 1h30m", quote(s))
}

func parseDuration(s string) (Duration, bool) {
	if s == "" {
		return 0, false
	}
	var total time.Duration
	last := time.Duration(math.MaxInt64)
	for rest := s; rest != ""; {
		number := leading(rest, "0123456789.")
		rest = rest[len(number):]
		name := leading(rest, "dhms")
		rest = rest[len(name):]
		unit := durationUnit(name)
		part, ok := scale(number, unit)
		if !ok || unit >= last || total > math.MaxInt64-part {
			return 0, false
		}
		total, last = total+part, unit
	}
	return Duration(total), true
}

// scale multiplies a decimal number with at most three digits after the point,
// and refuses results that are too long or not whole milliseconds.
func scale(number string, unit time.Duration) (time.Duration, bool) {
	whole, fraction, point := strings.Cut(number, ".")
	if unit == 0 || whole == "" || point && (fraction == "" || len(fraction) > 3) {
		return 0, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	total := time.Duration(n) * unit
	if point {
		f, err := strconv.ParseInt((fraction + "000")[:3], 10, 64)
		if err != nil {
			return 0, false
		}
		part := time.Duration(f) * unit / 1000
		if total > math.MaxInt64-part {
			return 0, false
		}
		total += part
	}
	return total, total%time.Millisecond == 0
}

func leading(s, set string) string {
	return s[:len(s)-len(strings.TrimLeft(s, set))]
}

// suggestDuration is a hint for text that is not a duration; may be empty.
func suggestDuration(s string) string {
	trimmed := strings.ToLower(strings.Join(strings.Fields(s), ""))
	if trimmed == "" || len(trimmed) > maxShown {
		return ""
	}
	if strings.Trim(trimmed, "0123456789.") == "" {
		if _, ok := parseDuration(trimmed + "s"); ok {
			return fmt.Sprintf("durations have a unit: %ss?", trimmed)
		}
		return ""
	}
	var out strings.Builder
	for rest := trimmed; rest != ""; {
		number := leading(rest, "0123456789.")
		rest = rest[len(number):]
		end := strings.IndexAny(rest, "0123456789.")
		if end < 0 {
			end = len(rest)
		}
		unit := usualUnit(rest[:end])
		if unit == "" {
			return ""
		}
		if unit == "w" {
			n, err := strconv.Atoi(number)
			if err != nil || n > 1000 {
				return ""
			}
			number, unit = strconv.Itoa(7*n), "d"
		}
		out.WriteString(number + unit)
		rest = rest[end:]
	}
	if _, ok := parseDuration(out.String()); !ok || out.String() == s {
		return ""
	}
	return meant(out.String())
}

// usualUnit maps what people write for a unit to its name here.
func usualUnit(word string) string {
	switch strings.TrimSuffix(word, "s") {
	case "d", "day":
		return "d"
	case "h", "hr", "hour":
		return "h"
	case "min", "minute":
		return "m"
	case "", "sec", "second":
		if word == "" {
			return ""
		}
		return "s"
	case "m":
		return word
	case "msec", "milli", "millisecond":
		return "ms"
	case "w", "week":
		return "w"
	default:
		return ""
	}
}

// String writes d in the form that ParseDuration reads, as short as it gets. A part
// below 1ms, which no file can hold, is written as package time does.
func (d Duration) String() string {
	rest := time.Duration(d)
	if rest == 0 {
		return "0s"
	}
	if rest < 0 || rest%time.Millisecond != 0 {
		return rest.String()
	}
	if rest < time.Second {
		return strconv.FormatInt(int64(rest/time.Millisecond), 10) + "ms"
	}
	var out strings.Builder
	for _, name := range []string{"d", "h", "m"} {
		unit := durationUnit(name)
		if n := rest / unit; n > 0 {
			fmt.Fprintf(&out, "%d%s", n, name)
			rest %= unit
		}
	}
	if rest > 0 {
		seconds, part := rest/time.Second, rest%time.Second/time.Millisecond
		out.WriteString(strings.TrimRight(strings.TrimRight(fmt.Sprintf("%d.%03d", seconds, part), "0"), ".") + "s")
	}
	return out.String()
}

// MarshalText writes d as String does; JSON and YAML both use it.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(d.String()), nil
}
