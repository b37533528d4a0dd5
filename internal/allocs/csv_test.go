package main

import (
	"strings"
	"testing"
)

const head = "goos: linux\n,before,,now\n,sec/op,CI,sec/op,CI,vs base,P\nBody-2,1e-06,1%,9e-06,1%,+800%,p=0.002 n=6\ngeomean,1e-06,,9e-06,,+800%\n\n,before,,now\n,allocs/op,CI,allocs/op,CI,vs base,P\n"

// TestMore: a fifth more is allowed, and where nothing was, nothing.
func TestMore(t *testing.T) {
	for rows, want := range map[string]string{
		"Body-2,10,0%,12,0%,~,p=1 n=6\n":                             "",
		"Body-2,10,0%,13,0%,+30%,p=0.002 n=6\n":                      "Body-2: 13 allocs/op, 10 before",
		"Body-2,0,0%,1,0%,?,p=0.002 n=6\n":                           "Body-2: 1 allocs/op, 0 before",
		"Body-2,0,0%,0,0%,~,p=1 n=6\ngeomean,0,,9,,\n":               "",
		"Body-2,10,0%\n":                                             "no benchmark",
		"Body-2,10,0%,2,0%,-80%,p=0.002 n=6\nNew-2,,,100,0%\n":       "",
		"Body-2,10,0%,10,0%,~,p=1 n=6\nHead-2,1,0%,2,0%,+100%,p=0\n": "Head-2: 2 allocs/op",
	} {
		err := more([]byte(head + rows))
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", rows, err, want)
		}
	}
}
