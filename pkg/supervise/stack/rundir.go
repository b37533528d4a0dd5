package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxSocketPath is what sockaddr_un holds on Linux, less the final zero byte.
	maxSocketPath = 107
	// longestSocket is the longest name of a socket that is put into a run folder.
	longestSocket  = 40
	runDirName     = "run"
	tempDirPattern = "holdfast-"
)

// makeRunDir makes the folder for the sockets, open to its owner alone: in the
// state folder, or where that has too long a path for a socket, among the
// temporary files.
func makeRunDir(state, temp string) (string, error) {
	dir := filepath.Join(state, runDirName)
	if len(dir)+1+longestSocket <= maxSocketPath {
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("removing an old socket folder: %w", err)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return "", fmt.Errorf("making the socket folder: %w", err)
		}
		return dir, nil
	}
	for _, parent := range []string{temp, "/tmp"} {
		if len(parent)+1+len(tempDirPattern)+10+1+longestSocket > maxSocketPath {
			continue
		}
		dir, err := os.MkdirTemp(parent, tempDirPattern+"*")
		if err != nil {
			return "", fmt.Errorf("making the socket folder: %w", err)
		}
		return dir, nil
	}
	return "", fmt.Errorf("no folder for sockets: %s is too long a path for them", dir)
}

// ownRunDir says whether dir is one that makeRunDir could have made for the state
// folder: a run file is not trusted with the name of a folder to remove.
func ownRunDir(dir, state string) bool {
	if dir == filepath.Join(state, runDirName) {
		return true
	}
	return filepath.IsAbs(dir) && filepath.Clean(dir) == dir && strings.HasPrefix(filepath.Base(dir), tempDirPattern)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
