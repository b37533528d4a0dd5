package main

// shapes are the kinds of calls. Each name says whether its size is that of the request or of the answer; the
// other one has 300 bytes.
func shapes() []shape {
	call := func(name string, request int, answer string) shape {
		return shape{name: name, request: request, answer: answer, method: "tools/call", path: "/mcp"}
	}
	read := call(read1MiB, 1<<20, "300")
	read.path = "/read"
	legacy := call("request of 300 B in a session (2025-06-18)", 300, "300")
	legacy.legacy = true
	return []shape{
		call(request300B, 300, "300"),
		call(request10KiB, 10<<10, "300"),
		call(request64KiB, 64<<10, "300"),
		call(request1MiB, 1<<20, "300"),
		read,
		call("answer of 10 KiB", 300, "10240"),
		call("answer of 64 KiB", 300, "65536"),
		call("answer of 1 MiB", 300, "1048576"),
		call("answer of 100 progress events and a result", 300, "sse100"),
		legacy,
		{name: "tools/list, answer of 2.5 KiB", answer: "list", method: "tools/list", path: "/mcp"},
	}
}

// Names of shapes that something is required of, or compared with.
const (
	request300B  = "request of 300 B"
	request10KiB = "request of 10 KiB"
	request64KiB = "request of 64 KiB"
	request1MiB  = "request of 1 MiB, left unread"
	read1MiB     = "request of 1 MiB, read"
)

// stale is a list whose server is down; only rows with both points can answer it.
var stale = shape{name: "tools/list, server down, answered from memory", answer: "list", method: "tools/list", path: "/gone"} //nolint:gochecknoglobals // a constant of a struct type

// connectionCounts are the numbers of callers.
func connectionCounts() []int { return []int{1, 32} }
