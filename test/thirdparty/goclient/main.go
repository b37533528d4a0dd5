// Goclient is a client of the Go SDK that takes one command a line and answers each
// with one line; see package thirdparty for the words.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

func serve() error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	const longest = 4 << 20
	in.Buffer(nil, longest)
	c := &client{}
	for in.Scan() {
		var command words.Command
		if err := json.Unmarshal(in.Bytes(), &command); err != nil {
			return fmt.Errorf("reading a command: %w", err)
		}
		answer, err := c.do(command)
		answer.OK = err == nil
		if err != nil {
			answer.Error = err.Error()
			var rpc *jsonrpc.Error
			if errors.As(err, &rpc) {
				answer.Code = rpc.Code
			}
		}
		if err := out.Encode(answer); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
	return in.Err()
}

type client struct {
	session  *mcp.ClientSession
	progress atomic.Int64
	changes  atomic.Int64
	crew     *crew
}

// timeout bounds one command.
const timeout = time.Minute

func (c *client) do(command words.Command) (words.Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch command.Do {
	case "connect":
		return c.connect(ctx, command)
	case "list":
		listed, err := c.session.ListTools(ctx, nil)
		if err != nil {
			return words.Answer{}, err
		}
		var answer words.Answer
		for _, tool := range listed.Tools {
			answer.Tools = append(answer.Tools, tool.Name)
		}
		return answer, nil
	case "call":
		return c.call(ctx, command)
	case "heard":
		return words.Answer{Changes: int(c.changes.Load())}, nil
	case "crew":
		c.crew = assemble(command)
		return words.Answer{}, nil
	case "dismiss":
		return words.Answer{Tally: c.crew.dismiss()}, nil
	case "close":
		if c.session == nil {
			return words.Answer{}, nil
		}
		return words.Answer{}, c.session.Close()
	}
	return words.Answer{}, fmt.Errorf("unknown command %q", command.Do)
}

func (c *client) connect(ctx context.Context, command words.Command) (words.Answer, error) {
	behaviour := &mcp.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { c.progress.Add(1) },
	}
	if command.Listen {
		behaviour.ToolListChangedHandler = func(context.Context, *mcp.ToolListChangedRequest) { c.changes.Add(1) }
	}
	m := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, behaviour)
	var options *mcp.ClientSessionOptions
	switch command.Era {
	case words.Modern:
	case words.Legacy:
		options = &mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}
	default:
		options = &mcp.ClientSessionOptions{ProtocolVersion: command.Era}
	}
	session, err := m.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: command.URL}, options)
	if err != nil {
		return words.Answer{}, err
	}
	c.session = session
	return words.Answer{Version: session.InitializeResult().ProtocolVersion}, nil
}

func (c *client) call(ctx context.Context, command words.Command) (words.Answer, error) {
	params := &mcp.CallToolParams{Name: command.Tool, Arguments: command.Arguments}
	if command.Arguments == nil {
		params.Arguments = map[string]any{}
	}
	if command.Progress {
		params.SetProgressToken("progress")
	}
	c.progress.Store(0)
	result, err := c.session.CallTool(ctx, params)
	if err != nil {
		return words.Answer{}, err
	}
	var text []string
	for _, content := range result.Content {
		if t, ok := content.(*mcp.TextContent); ok {
			text = append(text, t.Text)
		}
	}
	return words.Answer{IsError: result.IsError, Text: strings.Join(text, "\n"), Progress: int(c.progress.Load())}, nil
}
