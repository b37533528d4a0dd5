package thirdparty

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/sdks"
)

// Process is a server of others that runs until the test ends.
type Process struct {
	*supervise.Child
	// Address is host:port.
	Address string
}

// Serve starts a program on a free port and returns when it takes connections.
// "${address}" and "${port}" in its arguments and environment stand for that port.
func Serve(t testing.TB, spec supervise.Spec) Process {
	t.Helper()
	address := stacktest.Address(t)
	fill := strings.NewReplacer("${address}", address, "${port}", address[strings.LastIndexByte(address, ':')+1:])
	for _, list := range [][]string{spec.Args, spec.Env} {
		for i := range list {
			list[i] = fill.Replace(list[i])
		}
	}
	spec.Ready = []supervise.Probe{supervise.TCPProbe(address)}
	spec.ReadyWithin = time.Minute
	sup, err := supervise.New(supervise.Options{LogDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if child, ok := sup.Child(spec.Name); ok && t.Failed() {
			t.Logf("last words of %s:\n%s", spec.Name, strings.Join(child.Tail(20), "\n"))
		}
		if err := sup.Close(ctx); err != nil {
			t.Errorf("stopping %s: %v", spec.Name, err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := sup.Start(ctx, spec); err != nil {
		t.Fatal(err)
	}
	child, _ := sup.Child(spec.Name)
	return Process{Child: child, Address: address}
}

// sdkPrograms are the programs of the Go SDK that Program builds.
//
//nolint:gochecknoglobals // tests share nothing else to keep it in
var (
	sdkMu       sync.Mutex
	sdkPrograms = map[string]string{}
)

// Program builds a main package that the module depends on, once a test binary,
// and returns its path.
func Program(t testing.TB, pkg string) string {
	t.Helper()
	sdkMu.Lock()
	defer sdkMu.Unlock()
	if path, ok := sdkPrograms[pkg]; ok {
		return path
	}
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// `go test` removes the folder of the test binary together with it.
	path := filepath.Join(filepath.Dir(executable), "thirdparty", filepath.Base(pkg))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := sdks.Run(ctx, stacktest.Root(t), nil, "go", "build", "-o", path, pkg); err != nil {
		t.Fatalf("building %s: %v", pkg, err)
	}
	sdkPrograms[pkg] = path
	return path
}

// GoConformance is the folder of the Go SDK's programs for the conformance suite.
const GoConformance = "github.com/modelcontextprotocol/go-sdk/conformance/"

// GoEverything starts the Go SDK's everything-server; stateless serves all
// revisions without sessions, otherwise those with sessions only.
func GoEverything(t testing.TB, stateless bool) Process {
	t.Helper()
	name, flag := "go-everything-sessions", "-stateless=false"
	if stateless {
		name, flag = "go-everything-stateless", "-stateless=true"
	}
	return Serve(t, supervise.Spec{
		Name: name, Path: Program(t, GoConformance+"everything-server"), Args: []string{"-http=${address}", flag},
	})
}

// TypeScriptEverything starts the everything server of npm, which is built on the
// TypeScript SDK 1.x and has sessions. Its endpoint is /mcp.
func TypeScriptEverything(t testing.TB) Process {
	t.Helper()
	parts := Get(t)
	return Serve(t, supervise.Spec{
		Name: "typescript-everything", Path: parts.Node,
		Args: []string{parts.Module("@modelcontextprotocol/server-everything/dist/index.js"), "streamableHttp"},
		Env:  append(os.Environ(), "PORT=${port}"),
	})
}

// PythonTools starts a server on the Python SDK with the tools echo, work (which
// reports progress) and broken. Its endpoint is /mcp.
func PythonTools(t testing.TB) Process {
	t.Helper()
	parts := Get(t)
	return Serve(t, supervise.Spec{
		Name: "python-tools", Path: parts.Python, Env: parts.PythonEnv(),
		Args: []string{filepath.Join(stacktest.Root(t), "test", "thirdparty", "programs", "server.py"), "${port}"},
	})
}

// Resumable starts a server with sessions on an SDK, TypeScriptSDK or Python, whose event
// streams can be taken up where they broke. Its tools are where, which gives the server's
// name, announce, which also says that the list of tools has changed, and work, which takes a
// minute and reports progress all the time. Its endpoint is /mcp.
func Resumable(t testing.TB, kind, name string) Process {
	t.Helper()
	parts := Get(t)
	programs := filepath.Join(stacktest.Root(t), "test", "thirdparty", "programs")
	spec := supervise.Spec{Name: name, Path: parts.Python, Env: parts.PythonEnv(), Args: []string{filepath.Join(programs, "resumable.py"), name, "${port}"}}
	if kind == TypeScriptSDK {
		spec = supervise.Spec{Name: name, Path: parts.Node, Args: []string{filepath.Join(programs, "resumable.mjs"), parts.Modules, name, "${port}"}}
	}
	return Serve(t, spec)
}
