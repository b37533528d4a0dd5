package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

const watchHelp = `Shows the status live until Ctrl-C: on a terminal the screen of 'holdfast status',
elsewhere a line for each thing that changes. A control plane that goes away is asked
again until it is back.

Exit codes: 0 stopped by Ctrl-C, 1 the control plane cannot be asked, 2 the command
was not understood.`

// healthPeriod is how often Envoys are asked for the health of endpoints meanwhile.
const healthPeriod = 2 * time.Second

func newWatch(env *environment) *cobra.Command {
	var flags statusFlags
	cmd := &cobra.Command{
		Use: "watch [SERVER]", Short: "Show the status live", Long: watchHelp,
		Args: atMostOneServer,
		RunE: func(cmd *cobra.Command, args []string) error { return watch(cmd.Context(), env, &flags, args) },
	}
	flags.addStatus(cmd, env)
	return cmd
}

// watcher keeps what is shown. It is not safe for concurrent use.
type watcher struct {
	out    io.Writer
	server string
	now    func() time.Time
	color  painter
	all    bool
	// block is the live screen; nil where it is not a terminal.
	block *liveBlock

	// learn asks for the numbers of revisions; it is called when there is a new one.
	learn   func() map[string]uint64
	numbers map[string]uint64

	status  *adminv1.StatusResponse
	health  []envoyHealth
	trouble string
	// said is what was written last about each thing.
	said map[string]string
}

func watch(ctx context.Context, env *environment, flags *statusFlags, args []string) error {
	client, err := flags.open(env)
	if err != nil {
		return err
	}
	defer client.Close()
	admins, err := flags.envoys(flags.envoyAdmins)
	if err != nil {
		return err
	}
	defer closeAll(admins)
	w := &watcher{out: env.Stdout, now: time.Now, color: env.painter(env.Stdout), all: flags.all, said: map[string]string{}}
	if len(args) == 1 {
		w.server = args[0]
	}
	if isTerminal(env.Stdout) {
		w.block = &liveBlock{out: env.Stdout, size: func() (int, int) { return terminalSize(env.Stdout) }}
	}
	watching, stop := context.WithCancel(ctx)
	statuses := follow(watching, client)
	w.learn = func() map[string]uint64 { return revisionNumbers(ctx, client) }
	err = w.run(ctx, statuses, func() []envoyHealth { return askEnvoys(ctx, admins) })
	stop()
	for range statuses { //nolint:revive // until it has ended
	}
	return err
}

func (w *watcher) run(ctx context.Context, statuses <-chan seen, ask func() []envoyHealth) error {
	ticker := time.NewTicker(healthPeriod)
	defer ticker.Stop()
	w.health = ask()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			w.health = ask()
		case s := <-statuses:
			if ctx.Err() != nil {
				return nil
			}
			if err := w.see(s); err != nil {
				return err
			}
		}
		if w.status != nil {
			w.show()
		}
	}
}

// see takes in what was heard of the control plane.
func (w *watcher) see(s seen) error {
	switch {
	case s.err != nil:
		return s.err
	case s.lost != nil:
		w.trouble = "does not answer, is asked again: " + oneLine(s.lost.Error())
	case s.status != nil:
		if s.status.GetRevision().GetNumber() != w.status.GetRevision().GetNumber() && w.block != nil {
			w.numbers = w.learn()
		}
		w.status, w.trouble = s.status, ""
		if w.server != "" {
			return only(w.status, w.server)
		}
	}
	return nil
}

func (w *watcher) show() {
	unasked := fillHealth(w.status, w.health)
	if w.block != nil {
		view := statusView{status: w.status, now: w.now(), color: w.color, all: w.all, numbers: w.numbers, unasked: unasked}
		text := strings.TrimRight(view.text(), "\n")
		if w.trouble != "" {
			text = w.color.paint(yellow, "The control plane "+w.trouble) + "\n\n" + text
		}
		w.block.draw(strings.Split(text, "\n"))
		return
	}
	for _, line := range w.news() {
		say(w.out, "%s  %s\n", w.now().Format(time.TimeOnly), line)
	}
}
