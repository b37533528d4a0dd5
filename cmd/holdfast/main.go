// Command holdfast is what people type: it runs a whole Holdfast on one machine,
// plays the disaster on it, checks configuration, explains what a message would
// get, changes the configuration by revisions, and shows what the control plane and
// its Envoys agree on.
//
// Exit codes: 0 all went well, 1 it failed, 2 the command was not understood;
// diff: 0 no difference, 1 a difference, 2 not understood, 3 it failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitTrouble is exitFailed for diff, where 1 is an answer, as for diff(1).
	exitTrouble = 3
)

func main() {
	// A first signal ends what runs in order; the commands watch for a second one.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	executable, err := os.Executable()
	if err != nil {
		executable = os.Args[0]
	}
	code := run(ctx, os.Args[1:], &environment{
		Getenv: os.Getenv, Executable: executable, Invoked: os.Args[0],
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	stop()
	os.Exit(code)
}

// usageError is a command line that was not understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// troubleError ends the program with exitTrouble.
type troubleError struct{ err error }

func (e *troubleError) Error() string { return e.err.Error() }
func (e *troubleError) Unwrap() error { return e.err }

// errSilent ends the program with exitFailed after the command has said all there
// is to say.
var errSilent = errors.New("failed")

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, env *environment) int {
	root := newRoot(env)
	if args == nil {
		args = []string{} // cobra takes nil for the arguments of the process
	}
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	command, err := root.ExecuteContextC(ctx)
	var (
		usage   *usageError
		trouble *troubleError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.As(err, &usage):
		say(env.Stderr, "holdfast: %s\nSee '%s --help'.\n", printable(err.Error()), command.CommandPath())
		return exitUsage
	case errors.As(err, &trouble):
		say(env.Stderr, "holdfast: %s\n", printable(err.Error()))
		return exitTrouble
	default:
		say(env.Stderr, "holdfast: %s\n", printable(err.Error()))
		return exitFailed
	}
}

// say writes for people; when nobody reads any more there is nobody to tell.
func say(to io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(to, format, args...) }
