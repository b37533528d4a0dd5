package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
)

// refusalGrace is how long others are waited for after a node has refused: which of
// them do too is worth knowing, and whether it was taken back.
const refusalGrace = 3 * time.Second

// seen is what following a status came to.
type seen struct {
	status *adminv1.StatusResponse
	// lost is why the connection is being tried again, err why it no longer is.
	lost, err error
}

// follow hands over statuses until ctx ends; the channel is closed when nothing of it
// is left running.
func follow(ctx context.Context, client *apiclient.Client) <-chan seen {
	out := make(chan seen)
	hand := func(s seen) error {
		select {
		case out <- s:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() {
		defer close(out)
		err := client.Follow(ctx, apiclient.Follower{
			Status: func(s *adminv1.StatusResponse) error { return hand(seen{status: s}) },
			Lost:   func(err error) { _ = hand(seen{lost: err}) }, // Follow sees the end of ctx itself
		})
		_ = hand(seen{err: err}) // nobody listens any more
	}()
	return out
}

// waitFor shows how a revision goes out until it has, or somebody refuses it.
func waitFor(ctx context.Context, env *environment, client *apiclient.Client, revision *adminv1.Revision, began time.Time) error {
	// A deadline would travel with the call, and the server end it a moment too early.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	statuses := follow(watching, client)
	show := newWaitScreen(env, began)
	progress, err := show.wait(ctx, statuses, apiclient.TargetOf(revision))
	stop()
	for range statuses { //nolint:revive // until it has ended
	}
	show.end()
	if err != nil {
		return fmt.Errorf("revision %d is applied, but waiting for it ended: %w", revision.GetNumber(), err)
	}
	took := time.Since(began)
	say(env.Stdout, "%s", verdict(progress, revision.GetNumber(), took, env.painter(env.Stdout)))
	if progress.Stage != apiclient.Done {
		return errSilent
	}
	return nil
}

// wait returns the last progress seen: a settled one, or what there was when ctx or
// the grace after a refusal ended.
func (w *waitScreen) wait(ctx context.Context, statuses <-chan seen, target apiclient.Target) (apiclient.Progress, error) {
	var progress apiclient.Progress
	ticker := time.NewTicker(spinnerPeriod)
	defer ticker.Stop()
	grace := make(<-chan time.Time)
	refused := false
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return progress, nil
			}
			return progress, errors.New("interrupted; the rollout goes on")
		case <-grace:
			return progress, nil
		case <-ticker.C:
			w.tick()
		case s := <-statuses:
			switch {
			case s.err != nil:
				return progress, s.err
			case s.lost != nil:
				w.lost(s.lost)
				continue
			case s.status == nil:
				continue
			}
			progress = apiclient.ProgressOf(s.status, target)
			w.update(progress)
			if progress.Settled {
				return progress, nil
			}
			if progress.Stage == apiclient.Rejected && !refused {
				refused = true
				timer := time.NewTimer(refusalGrace)
				defer timer.Stop()
				grace = timer.C
			}
		}
	}
}

// verdict is the end of the wait, in words.
func verdict(p apiclient.Progress, number uint64, took time.Duration, color painter) string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	switch p.Stage {
	case apiclient.Done:
		if len(p.Nodes) == 0 {
			line("Nobody is connected: Envoys and processors get revision %d when they come.", number)
			break
		}
		line("%s %s, after %s.", color.paint(green, "✓"), everybody(len(p.Nodes), number), seconds(took))
	case apiclient.Rejected:
		line("%s", color.paint(red, fmt.Sprintf("✗ Revision %d was refused, after %s.", number, seconds(took))))
		for _, r := range p.Refusals {
			about := ""
			if r.Type != "" {
				about = " about " + oneLine(r.Type)
			}
			line("  %s refuses it. Its words%s:\n%s", oneLine(r.Node), about, indent(printable(strings.TrimSpace(r.Detail)), "      "))
		}
		line("%s", aftermath(p, number))
	case apiclient.Overtaken:
		line("%s", color.paint(red, fmt.Sprintf("✗ Revision %d came after it before everybody had revision %d; 'holdfast watch' follows it.", p.By.GetNumber(), number)))
		line("  %s", headline(p.By))
	case apiclient.Waiting:
		line("%s", color.paint(red, fmt.Sprintf("✗ After %s not everybody runs revision %d; the rollout goes on.", seconds(took), number)))
		for _, n := range p.Nodes {
			if !n.Holds {
				line("  %s: %s", oneLine(n.GetId()), standing(n, p.Canaries))
			}
		}
	}
	return out.String()
}

// aftermath says what the nodes run after a refusal.
func aftermath(p apiclient.Progress, number uint64) string {
	switch {
	case p.TakenBack && p.By != nil:
		return fmt.Sprintf("It was taken back everywhere by revision %d.", p.By.GetNumber())
	case p.TakenBack:
		return "It was taken back everywhere: what was there before is in force."
	}
	text := "Who refuses it stays on its last good revision, alone."
	if p.Phase != apiclient.PhaseDone && p.Phase != "" {
		text = fmt.Sprintf("Who refuses it stays on its last good revision, and the rollout stops at phase %s for its sake.", oneLine(p.Phase))
	}
	return fmt.Sprintf("%s Apply something better than revision %d, or take it back with 'holdfast rollback N'.", text, number)
}

// everybody: all of n nodes run a revision.
func everybody(n int, number uint64) string {
	if n == 1 {
		return fmt.Sprintf("The one node that is connected runs revision %d", number)
	}
	return fmt.Sprintf("All %d nodes run revision %d", n, number)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
