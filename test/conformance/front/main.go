// Front puts Holdfast between the conformance suite's mock server and a client: it
// hands the mock's URL to the running test, which answers with the URL of the
// gateway, and runs the client on that.
//
//	front [-same] CONTROL CLIENT MOCK-URL
//
// With -same the client is run on the mock's own URL, and finds the gateway at its address.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/test/conformance/dial"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "front:", err)
		os.Exit(1)
	}
}

// timeout bounds the whole run; the suite has a limit of its own.
const timeout = time.Minute

func run(args []string) error {
	same := len(args) > 0 && args[0] == "-same"
	if same {
		args = args[1:]
	}
	if len(args) != 3 {
		return errors.New("want the control's URL, the client and the mock's URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	gateway, err := ask(ctx, args[0], args[2])
	if err != nil {
		return err
	}
	client := exec.CommandContext(ctx, args[1], gateway)
	if same {
		from, to, err := addresses(args[2], gateway)
		if err != nil {
			return err
		}
		client = exec.CommandContext(ctx, args[1], args[2])
		client.Env = append(os.Environ(), dial.Variable+"="+from+"="+to)
	}
	client.Stdin, client.Stdout, client.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := client.Run(); err != nil {
		return fmt.Errorf("running the client: %w", err)
	}
	return nil
}

// addresses are where the client would connect to, and where it is to.
func addresses(mock, gateway string) (from, to string, err error) {
	m, err := url.Parse(mock)
	if err != nil {
		return "", "", fmt.Errorf("reading the mock's URL: %w", err)
	}
	g, err := url.Parse(gateway)
	if err != nil {
		return "", "", fmt.Errorf("reading the gateway's URL: %w", err)
	}
	return m.Host, g.Host, nil
}

// ask has the test put Holdfast before the mock.
func ask(ctx context.Context, control, mock string) (gateway string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, control, strings.NewReader(mock))
	if err != nil {
		return "", fmt.Errorf("asking for a gateway: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking for a gateway: %w", err)
	}
	defer resp.Body.Close()
	const most = 4096
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return "", fmt.Errorf("asking for a gateway: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("asking for a gateway: %s: %s", resp.Status, body)
	}
	return string(body), nil
}
