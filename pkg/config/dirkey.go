package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
)

// DirKey names a configuration directory in the names of other folders: its last
// element and a hash of its absolute path. What is remembered of one directory
// must not be served for another one.
func DirKey(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("naming the directory %q: %w", dir, err)
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Base(abs) + "-" + hex.EncodeToString(sum[:4]), nil
}
