package testbed

import (
	"flag"
	"runtime"
	"strconv"
	"testing"
)

// SideBySide runs the tests of a package, and more of those that are parallel at a time than there are
// cores, since they mostly wait. Where -parallel is given that holds. It returns the exit code.
func SideBySide(m *testing.M) int {
	flag.Parse()
	if side := flag.Lookup("test.parallel"); side.Value.String() == side.DefValue {
		if err := side.Value.Set(strconv.Itoa(runtime.GOMAXPROCS(0) + more)); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// more tests than cores run side by side.
const more = 2
