package compose

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// release is the VERSION that tests build.
const release = "9.8.7-test"

// once builds one time for all tests, into a folder beside the test binary, which
// 'go test' removes together with it.
//
//nolint:gochecknoglobals // tests share nothing else to keep it in
var once struct {
	sync.Once
	bin string
	err error
}

// imagePrograms is the folder of the programs as the Dockerfile builds them.
func imagePrograms(t testing.TB) string {
	t.Helper()
	root := stacktest.Root(t)
	once.Do(func() {
		executable, err := os.Executable()
		if err != nil {
			once.err = err
			return
		}
		once.bin, once.err = buildImage(root, filepath.Join(filepath.Dir(executable), "image"), release)
	})
	if once.err != nil {
		t.Fatal(once.err)
	}
	return once.bin
}

// TestImagePrograms: what the Dockerfile copies is enough to build; the programs
// need nothing from an image, know their version, and come out the same elsewhere.
func TestImagePrograms(t *testing.T) {
	bin := imagePrograms(t)
	again, err := buildImage(stacktest.Root(t), t.TempDir(), release)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(bin)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
		path := filepath.Join(bin, entry.Name())
		if err := static(path); err != nil {
			t.Errorf("%s: %v", entry.Name(), err)
		}
		if !bytes.Equal([]byte(read(t, path)), []byte(read(t, again, entry.Name()))) {
			t.Errorf("%s differs between two builds of the same tree", entry.Name())
		}
	}
	if want := []string{"extproc", "holdfast", "xds"}; !slices.Equal(names, want) {
		t.Errorf("the image has %v, want %v", names, want)
	}
	for program, argument := range map[string]string{"holdfast": "version", "xds": "--version"} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(bin, program), argument).CombinedOutput()
		if err != nil || !strings.Contains(string(out), release) {
			t.Errorf("%s %s does not know its version %s: %s (%v)", program, argument, release, out, err)
		}
	}
}

// static says what a program would need at run time.
func static(path string) error {
	file, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			return fmt.Errorf("it needs a dynamic linker: %v", segment.Type)
		}
	}
	return nil
}
