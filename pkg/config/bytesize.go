package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20
)

// ParseByteSize reads a number of bytes such as 4096, 64KiB or 4MiB. The error
// says what was probably meant.
func ParseByteSize(s string) (ByteSize, error) {
	size, ok := parseByteSize(s)
	if ok {
		return size, nil
	}
	if hint := suggestByteSize(s); hint != "" {
		return 0, fmt.Errorf("%s is not a size; %s", quote(s), hint)
	}
	return 0, fmt.Errorf("%s is not a size such as 4096, 64KiB or 4MiB", quote(s))
}

func parseByteSize(s string) (ByteSize, bool) {
	number := leading(s, "0123456789")
	unit := int64(1)
	switch s[len(number):] {
	case "":
	case "KiB":
		unit = kibibyte
	case "MiB":
		unit = mebibyte
	default:
		return 0, false
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return ByteSize(n * unit), true
}

// suggestByteSize is a hint for text that is not a size; may be empty.
func suggestByteSize(s string) string {
	trimmed := strings.ToLower(strings.Join(strings.Fields(s), ""))
	number := leading(trimmed, "0123456789")
	if number == "" || len(number) > 10 {
		return ""
	}
	switch trimmed[len(number):] {
	case "k", "kb", "ki", "kib":
		return meant(number + "KiB")
	case "m", "mb", "mi", "mib":
		return meant(number + "MiB")
	case "b", "byte", "bytes":
		return meant(number)
	default:
		return ""
	}
}

// String writes b in the largest unit that holds it whole.
func (b ByteSize) String() string {
	switch {
	case b != 0 && b%mebibyte == 0:
		return strconv.FormatInt(int64(b/mebibyte), 10) + "MiB"
	case b != 0 && b%kibibyte == 0:
		return strconv.FormatInt(int64(b/kibibyte), 10) + "KiB"
	default:
		return strconv.FormatInt(int64(b), 10)
	}
}

// plain tells whether String gives a bare number.
func (b ByteSize) plain() bool {
	return b == 0 || b%kibibyte != 0
}

// MarshalYAML writes a bare number, or text with a unit.
func (b ByteSize) MarshalYAML() (any, error) {
	if b.plain() {
		return int64(b), nil
	}
	return b.String(), nil
}

// MarshalJSON writes a bare number, or text with a unit.
func (b ByteSize) MarshalJSON() ([]byte, error) {
	if b.plain() {
		return []byte(b.String()), nil
	}
	return []byte(strconv.Quote(b.String())), nil
}
