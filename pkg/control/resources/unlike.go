package resources

import (
	"maps"
	"slices"
	"strconv"
)

const (
	// maxUnlike is in how many names somebody may differ from a set for the version of what they
	// have to be shared with others.
	maxUnlike = 16
	// maxRemembered is how many such versions a set remembers.
	maxRemembered = 64
)

// VersionOf condenses, as HashVersions does, what somebody has of a type, versions by name: that
// of the set but for the names in unlike. Those who are on the way to a set mostly lack the same
// of it, so what it comes to is remembered.
func (s *Set) VersionOf(typeURL string, has map[string]string, unlike map[string]bool) string {
	switch {
	case len(unlike) == 0:
		return s.TypeVersion(typeURL)
	case len(unlike) > maxUnlike:
		return HashVersions(has)
	}
	key := []byte(typeURL)
	for _, name := range slices.Sorted(maps.Keys(unlike)) {
		version, ok := has[name]
		// Lengths keep what peers named themselves apart.
		key = append(strconv.AppendInt(key, int64(len(name)), 10), ':')
		key = append(key, name...)
		key = append(strconv.AppendInt(strconv.AppendBool(key, ok), int64(len(version)), 10), ':')
		key = append(key, version...)
	}
	s.hashing.Lock()
	defer s.hashing.Unlock()
	if version, ok := s.others[string(key)]; ok {
		return version
	}
	if s.others == nil || len(s.others) >= maxRemembered {
		s.others = make(map[string]string)
	}
	version := HashVersions(has)
	s.others[string(key)] = version
	return version
}
