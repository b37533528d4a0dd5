package thirdparty

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// Clients that Open starts: the SDKs that agents are built on, with their versions as
// the lock has them.
const (
	Go               = "go"
	TypeScriptSDK    = "typescript-sdk"
	TypeScriptClient = "typescript-client"
	Python           = "python"
)

// Speaks says whether a client has a way to open in an era: the TypeScript SDK 1.x
// knows no revision after 2025-11-25.
// Revisions before 2025-11-25 are offered by the Go SDK's client alone.
func Speaks(kind, era string) bool {
	switch era {
	case words.Legacy:
		return true
	case words.Modern:
		return kind != TypeScriptSDK
	}
	return kind == Go
}

// Client is a program with one connection of an SDK's client.
type Client struct {
	t     testing.TB
	Kind  string
	in    io.WriteCloser
	lines chan string
	end   func()
}

// End kills the client; nothing may be asked of it any more.
func (c *Client) End() { c.end() }

// Open starts a client; it ends with the test.
func Open(t testing.TB, kind string) *Client {
	t.Helper()
	parts := Get(t)
	programs := filepath.Join(stacktest.Root(t), "test", "thirdparty", "programs")
	var cmd *exec.Cmd
	switch kind {
	case Go:
		cmd = exec.Command(Program(t, "./test/thirdparty/goclient"))
	case TypeScriptSDK:
		cmd = exec.Command(parts.Node, filepath.Join(programs, "client.mjs"), parts.Modules, "sdk")
	case TypeScriptClient:
		cmd = exec.Command(parts.Node, filepath.Join(programs, "client.mjs"), parts.Modules, "client")
	case Python:
		cmd = exec.Command(parts.Python, filepath.Join(programs, "client.py"))
		cmd.Env = parts.PythonEnv()
	default:
		t.Fatalf("there is no client %q", kind)
	}
	return start(t, kind, cmd)
}

func start(t testing.TB, kind string, cmd *exec.Cmd) *Client {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.CreateTemp(t.TempDir(), kind+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a client: %v", err)
	}
	c := &Client{t: t, Kind: kind, in: in, lines: make(chan string)}
	go func() {
		defer close(c.lines)
		const longest = 4 << 20
		scan := bufio.NewScanner(out)
		scan.Buffer(nil, longest)
		for scan.Scan() {
			c.lines <- scan.Text()
		}
	}()
	c.end = sync.OnceFunc(func() {
		_ = in.Close()
		// A client that waits for a dead server is not worth waiting for.
		_ = cmd.Process.Kill()
		for range c.lines {
		}
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		c.End()
		if said, err := os.ReadFile(log.Name()); t.Failed() && err == nil && len(said) > 0 {
			t.Logf("the %s client said: %s", kind, said[max(0, len(said)-shown):])
		}
		_ = log.Close()
	})
	return c
}

// shown bounds how much of what a client said a failed test shows.
const shown = 2000

// answerTimeout is longer than any client waits for its server.
const answerTimeout = 3 * time.Minute

// Do has the client do something and returns what came of it. A client that is gone
// or says nothing fails the test.
func (c *Client) Do(command words.Command) words.Answer {
	c.t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("the %s client is gone: %v", c.Kind, err)
	}
	timer := time.NewTimer(answerTimeout)
	defer timer.Stop()
	select {
	case said, ok := <-c.lines:
		var answer words.Answer
		if !ok {
			c.t.Fatalf("the %s client is gone", c.Kind)
		}
		if err := json.Unmarshal([]byte(said), &answer); err != nil {
			c.t.Fatalf("the %s client said %q: %v", c.Kind, said, err)
		}
		return answer
	case <-timer.C:
		c.t.Fatalf("the %s client did not answer %+v", c.Kind, command)
	}
	return words.Answer{}
}

// Connect opens the connection in one era.
func (c *Client) Connect(url, era string) words.Answer {
	c.t.Helper()
	return c.Do(words.Command{Do: "connect", URL: url, Era: era})
}

// Call calls a tool.
func (c *Client) Call(tool string, arguments map[string]any) words.Answer {
	c.t.Helper()
	return c.Do(words.Command{Do: "call", Tool: tool, Arguments: arguments})
}
