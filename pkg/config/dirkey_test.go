package config_test

import (
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

func TestDirKey(t *testing.T) {
	key := func(dir string) string {
		t.Helper()
		k, err := config.DirKey(dir)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if key("/etc/a/shop") != key("/etc/a/./shop/") {
		t.Error("one directory has two keys")
	}
	if key("/etc/a/shop") == key("/etc/b/shop") {
		t.Error("two directories have one key")
	}
}
