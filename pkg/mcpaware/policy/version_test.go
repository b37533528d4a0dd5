package policy

import "testing"

func TestVersionOfASet(t *testing.T) {
	set := map[string]resource{"a": {version: "1"}, "b": {version: "2"}}
	same := map[string]resource{"b": {version: "2"}, "a": {version: "1"}}
	if versionOf(set) != versionOf(same) {
		t.Error("the order counts")
	}
	for name, other := range map[string]map[string]resource{
		"another version": {"a": {version: "1"}, "b": {version: "3"}}, "another name": {"a": {version: "1"}, "c": {version: "2"}},
		"less": {"a": {version: "1"}}, "swapped": {"a": {version: "2"}, "b": {version: "1"}},
	} {
		if versionOf(other) == versionOf(set) {
			t.Errorf("%s is not seen", name)
		}
	}
	if (&Client{}).Version() != "" {
		t.Error("a version before there are policies")
	}
}
