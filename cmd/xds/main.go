// Command xds is Holdfast's control plane: it watches a directory of configuration
// and gives Envoys and processors what it says, over xDS.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run is main with its surroundings as arguments.
func run(ctx context.Context, args []string) int {
	cmd := command()
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "xds: %v\nRun 'xds --help' for usage.\n", err)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "xds: %v\n", err)
		return exitFailure
	}
}
