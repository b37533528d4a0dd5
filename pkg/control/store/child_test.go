package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/store"
)

// childEnv makes the test binary do one of the things that need a process of their own.
const childEnv = "HOLDFAST_STORE_CHILD"

func child(what string, args []string) int {
	var err error
	switch what {
	case "append":
		err = appendForever(args[0])
	case "full":
		err = appendUntilFull(args[0])
	default:
		err = fmt.Errorf("no child %q", what)
	}
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

func command(t *testing.T, what string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	return cmd
}

// crashSet is the content of a revision, computable from its number: some resources change in each.
func crashSet(n uint64) revisions.Set {
	var s revisions.Set
	for i := range uint64(40) {
		s.Resources = append(s.Resources, byAPI(fmt.Sprintf("s%02d", i), strings.Repeat(fmt.Sprintf("%d at %d\n", i, (n+i)/8), 200)))
	}
	return s
}

// appendForever says each number once it is committed.
func appendForever(dir string) error {
	s, err := store.Open(context.Background(), dir, store.Options{Keep: 20})
	if err != nil {
		return err
	}
	last := uint64(0)
	if head, err := s.Head(); err == nil {
		last = head.Number
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for {
		n, err := s.Append(revisions.Revision{Header: revisions.Header{Author: "child", Time: start}, Set: crashSet(last + 1)})
		if err != nil {
			return err
		}
		last = n
		fmt.Println(n)
	}
}

// A process that is killed at any moment leaves the last revision that it knew
// of, or the one that it was about to report; whole.
func TestKilledAtAnyMoment(t *testing.T) {
	const kills = 25
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	var reported uint64
	for kill := range kills {
		told := runAndKill(t, dir, time.Duration(1+r.IntN(60_000))*time.Microsecond)
		reported = max(reported, told)
		s := open(t, dir, store.Options{Keep: 20})
		head, err := s.Head()
		if err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		if head.Number != reported && head.Number != reported+1 {
			t.Fatalf("after kill %d the newest is %d, and %d was reported", kill, head.Number, reported)
		}
		same(t, "the newest revision", crashSet(head.Number), head.Set)
		headers, err := s.List(0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			rev, err := s.Get(h.Number)
			if err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprint("revision ", h.Number), crashSet(h.Number), rev.Set)
		}
		reported = head.Number
		shut(t, s)
	}
	if reported < 2*kills {
		t.Errorf("only %d revisions were made: the kills came too early to say anything", reported)
	}
}

// runAndKill lets a child append, kills it some time after its first revision, and gives the last
// number that it reported.
func runAndKill(t *testing.T, dir string, after time.Duration) uint64 {
	t.Helper()
	cmd := command(t, "append", dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var last uint64
	var words []string
	var killer *time.Timer
	for lines.Scan() {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			words = append(words, lines.Text())
			continue
		}
		if killer == nil {
			killer = time.AfterFunc(after, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		}
		last = n
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if killer == nil || !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v %s", err, words)
	}
	return last
}

// fileLimit is how large the child's files may become.
const fileLimit = 1 << 20

// appendUntilFull appends until it is refused, and then goes on with what needs no room. It says
// what it finds, for TestNoSpace to read.
func appendUntilFull(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := store.Open(context.Background(), dir, store.Options{Keep: 1000})
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fileLimit, Max: fileLimit}); err != nil {
		return err
	}
	text := func(n uint64) revisions.Set {
		return revisions.Set{Resources: []revisions.Resource{byAPI("a", strings.Repeat(fmt.Sprintf("%d\n", n), 20_000))}}
	}
	header := revisions.Header{Author: "child", Time: start}
	var last uint64
	for {
		n, err := s.Append(revisions.Revision{Header: header, Set: text(last + 1)})
		if err != nil {
			fmt.Println("refused after", last, errors.Is(err, store.ErrNoSpace), err)
			break
		}
		last = n
	}
	head, err := s.Head()
	fmt.Println("newest", head.Number, err, len(revisions.Changes(head.Set, text(last))))
	for range 3 {
		_, err := s.Append(revisions.Revision{Header: header, Set: text(last + 1)})
		fmt.Println("again", errors.Is(err, store.ErrNoSpace))
	}
	n, err := s.Append(revisions.Revision{Header: header, Set: head.Set})
	fmt.Println("small", n == last+1, err)
	fmt.Println("closed", s.Close())
	s, err = store.Open(context.Background(), dir, store.Options{Keep: 2})
	if err != nil {
		return err
	}
	// With a shorter history there is room again.
	n, err = s.Append(revisions.Revision{Header: header, Set: head.Set})
	fmt.Println("shorter", n == last+2, err)
	n, err = s.Append(revisions.Revision{Header: header, Set: text(last + 1)})
	fmt.Println("large", n == last+3, err)
	return s.Close()
}

func TestNoSpace(t *testing.T) {
	dir := t.TempDir()
	out, err := command(t, "full", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var last uint64
	var matched bool
	lines := strings.Split(string(out), "\n")
	if _, err := fmt.Sscanf(lines[0], "refused after %d %t", &last, &matched); err != nil || !matched || last < 3 {
		t.Fatalf("the disk being full is not told as ErrNoSpace:\n%s", out)
	}
	if !strings.Contains(lines[0], "appending a revision: no space left for the revision store: ") {
		t.Errorf("the words are %s", lines[0])
	}
	want := fmt.Sprintf("newest %d <nil> 0\nagain true\nagain true\nagain true\nsmall true <nil>\nclosed <nil>\nshorter true <nil>\nlarge true <nil>\n", last)
	if got := strings.Join(lines[1:], "\n"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	s := open(t, dir, store.Options{})
	if head, err := s.Head(); err != nil || head.Number != last+3 {
		t.Errorf("the newest is %d, want %d: %v", head.Number, last+3, err)
	}
}
