// Front puts Holdfast between the conformance suite's mock server and a client: it
// hands the mock's URL to the running test, which answers with the URL of the
// gateway, and runs the client on that.
//
//	front CONTROL CLIENT MOCK-URL
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
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
	client.Stdin, client.Stdout, client.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := client.Run(); err != nil {
		return fmt.Errorf("running the client: %w", err)
	}
	return nil
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
