// Package control is the control plane: it makes revisions out of a watched directory
// and of what the admin API is given, keeps them, and moves Envoys and processors to
// the newest one. What follows from what is in packages revisions and rollout, the wire
// is in package server; here they are tied together.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	sessionv1 "github.com/holdfast-mcp/holdfast/api/session/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/catalog"
	"github.com/holdfast-mcp/holdfast/pkg/control/drains"
	"github.com/holdfast-mcp/holdfast/pkg/control/moves"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
	"github.com/holdfast-mcp/holdfast/pkg/control/peers"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/revisions"
	"github.com/holdfast-mcp/holdfast/pkg/control/rollout"
	"github.com/holdfast-mcp/holdfast/pkg/control/server"
	"github.com/holdfast-mcp/holdfast/pkg/control/sessionkeys"
	"github.com/holdfast-mcp/holdfast/pkg/control/source"
	"github.com/holdfast-mcp/holdfast/pkg/control/state"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
)

const (
	// DefaultSilentAfter is how long a node may take to answer before it counts as silent.
	DefaultSilentAfter = 5 * time.Second
	// saveDelay gathers changes of who is connected into one writing, when a whole
	// fleet comes back at once. A node that is not yet saved when this process
	// is killed is not waited for by the next one, so it is short.
	saveDelay = 20 * time.Millisecond
	// eventQueue holds events of streams that the plane has not come to.
	eventQueue = 256
)

// Options of a Plane. ConfigDir and StateDir are required.
type Options struct {
	// ConfigDir is watched; see package source.
	ConfigDir string
	// StateDir keeps the revisions and what the next run must know; see packages store and
	// state. One process has it at a time.
	StateDir string
	// History is how many revisions are kept, 1 to store.MaxKeep; store.DefaultKeep when 0.
	History  int
	Compiler revision.Compiler
	// Check asks an Envoy about each revision first; nil does not.
	Check *revision.EnvoyCheck
	// Limit is how long a phase of a rollout waits for a node; rollout.DefaultLimit when 0.
	Limit time.Duration
	// Measure says what is found out of endpoints; nothing where it is the zero value.
	Measure Measure
	// Peers lead to the other control planes, with which probing is shared; one may lead to this one.
	Peers []grpc.ClientConnInterface
	// SilentAfter is DefaultSilentAfter when 0.
	SilentAfter time.Duration
	Source      source.Options
	// Version of the program, for the status.
	Version string
	// Logger discards when nil; Now is time.Now.
	Logger *slog.Logger
	Now    func() time.Time
}

// Plane is one control plane. Run may be called once; the other methods are safe
// for concurrent use, and end with an error after Run has.
type Plane struct {
	opts    Options
	log     *slog.Logger
	now     func() time.Time
	started time.Time
	server  *server.Server
	catalog *catalog.Store
	// outcomes are what processors tell each other of tools.
	outcomes *outcomes.Server
	// monitor watches endpoints; nil where nothing is measured.
	monitor *outlier.Monitor
	// peers share the probing; nil where there are none.
	fleet *peers.Fleet
	// moves are what processors tell each other of sessions.
	moves *moves.Server
	// drains are what operators have taken out of service.
	drains *drains.Store
	// canaries are the servers that others take over from step by step.
	canaries canaries
	state    *state.Dir
	// sessionKeys belong to Run.
	sessionKeys *sessionkeys.Ring

	events chan server.Event
	// wake tells the loop that something else than an event has moved the rollout.
	wake chan struct{}
	// stopped is closed when events are no longer taken.
	stopped chan struct{}
	writer  writer
	// rejected is told when takenBack has something, reread when the directory may mean
	// something else now.
	rejected, reread chan struct{}

	mu      sync.Mutex
	machine *rollout.Machine
	// head is the newest revision of the history, nil before the first one. It is
	// replaced, never changed.
	head *revisions.Revision
	// numbers are those of the newest revisions with some content, by version.
	numbers map[string]uint64
	// revisions are compiled, by version.
	revisions map[string]*revision.Revision
	peers     map[rollout.Key]server.Peer
	// shown is what each Envoy's stream is shown.
	shown map[rollout.Key]shown
	// health is laid over all of it.
	health health
	// live are the revisions last saved; dirty says that the saved nodes or regions
	// are not the current ones.
	live         []string
	dirty        bool
	policySerial uint64
	policies     resources.Group
	// refusedRevision is what the last refusal of a stream was about.
	refusedRevision map[rollout.Key]string
	refused         *refusal
	// takenBack is a rejection that the history does not know of yet.
	takenBack *rollout.Rejected
	// stateProblem and historyProblem are what went wrong with what is kept.
	stateProblem, historyProblem, overridesProblem, drainsProblem string
	// changed is closed, and replaced, when the status may have changed.
	changed chan struct{}
}

// shown is one view, composed.
type shown struct {
	view rollout.View
	memo string
	// base is what the revisions say, set the same with health laid over it, since at.
	base, set *resources.Set
	at        time.Time
}

// New prepares a control plane from its state directory. A rollout that cannot be
// read is told in the log and in the status, and passed over; a history that cannot is an
// error (store.ErrDamaged, store.ErrLocked while another process has the directory).
// The plane must be Run, or else Closed.
func New(opts Options) (*Plane, error) {
	p := &Plane{
		opts: opts, log: opts.Logger, now: opts.Now, writer: newWriter(),
		events: make(chan server.Event, eventQueue), wake: make(chan struct{}, 1), rejected: make(chan struct{}, 1), reread: make(chan struct{}, 1),
		stopped: make(chan struct{}), revisions: make(map[string]*revision.Revision), numbers: make(map[string]uint64),
		peers: make(map[rollout.Key]server.Peer), shown: make(map[rollout.Key]shown),
		refusedRevision: make(map[rollout.Key]string), health: newHealth(), changed: make(chan struct{}),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.opts.SilentAfter <= 0 {
		p.opts.SilentAfter = DefaultSilentAfter
	}
	p.started = p.now()
	p.opts.Compiler = opts.Compiler.Remembering()
	var err error
	if p.state, err = state.Open(opts.StateDir); err != nil {
		return nil, err
	}
	if err := p.openHistory(); err != nil {
		return nil, err
	}
	if p.sessionKeys, err = sessionkeys.Open(opts.StateDir, p.now, p.log); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.server = server.New(server.Options{Notify: p.enqueue, Logger: p.log, Now: p.now})
	p.catalog = catalog.New(p.server.UpdateCatalog, p.now, p.log)
	p.openMonitor()
	p.openOutcomes()
	p.openDrains()
	p.openCanaries()
	p.moves = moves.New(moves.Options{Expected: len(opts.Compiler.Processors), Now: p.now, Logger: p.log})
	saved, err := p.state.Load()
	if err != nil {
		p.stateProblem = err.Error()
		p.log.Warn("saved rollout is not usable; what nodes still have is not known", "error", err)
	}
	var live []string
	for _, r := range saved.Revisions {
		live = append(live, r.Version)
		p.revisions[r.Version] = r
	}
	p.live = live
	p.recallHealth()
	p.mu.Lock()
	defer p.mu.Unlock()
	machine, actions := rollout.New(rollout.Options{Limit: opts.Limit, Policies: p.policiesOf}, live, saved.Nodes, p.started)
	p.machine = machine
	p.perform(context.Background(), actions)
	return p, nil
}

// Close lets go of the state directory. Run does so at its end.
func (p *Plane) Close() error { return p.writer.store.Close() }

// policiesOf tells the machine which revisions have the same policies.
func (p *Plane) policiesOf(version string) string {
	r, ok := p.revisions[version]
	if !ok {
		return version
	}
	return r.Policies.Version()
}

// enqueue takes an event of a stream, in the stream's goroutine.
func (p *Plane) enqueue(e server.Event) {
	select {
	case p.events <- e:
	case <-p.stopped:
	}
}

// Run serves xDS on a listener until ctx ends, and closes the listener and the plane.
func (p *Plane) Run(ctx context.Context, listener net.Listener) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.server.Serve(ctx, listener, p.catalog, p.outcomes, p.moves, p.probes()) })
	g.Go(func() error {
		p.resume(ctx)
		return source.Watch(ctx, p.opts.ConfigDir, p.opts.Source, p.read)
	})
	g.Go(func() error {
		p.follow(ctx)
		return nil
	})
	g.Go(func() error {
		p.followHealth(ctx)
		return nil
	})
	g.Go(func() error {
		return p.sessionKeys.Run(ctx, func(keys *sessionv1.Keys) error { return p.server.SetSessionKeys(keys) })
	})
	g.Go(func() error {
		p.measure(ctx)
		return nil
	})
	g.Go(func() error {
		p.followCanaries(ctx)
		return nil
	})
	g.Go(func() error {
		p.sharing(ctx)
		return nil
	})
	g.Go(func() error {
		p.loop(ctx)
		return nil
	})
	p.log.Info("listening", "xds", listener.Addr().String())
	if err := errors.Join(g.Wait(), p.Close()); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	return nil
}

// loop feeds the machine until ctx ends.
func (p *Plane) loop(ctx context.Context) {
	defer close(p.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var save <-chan time.Time
	for {
		if p.unsaved() && save == nil {
			save = time.After(saveDelay)
		}
		p.mu.Lock()
		deadline := p.machine.Deadline()
		p.mu.Unlock()
		timer.Reset(time.Hour)
		if !deadline.IsZero() {
			timer.Reset(max(0, deadline.Sub(p.now())))
		}
		select {
		case <-ctx.Done():
			// Who is connected now is who will be back.
			p.saveNodes(ctx)
			return
		case e := <-p.events:
			p.take(ctx, e)
		case <-p.wake:
		case <-timer.C:
			p.mu.Lock()
			p.perform(ctx, p.machine.Tick(p.now()))
			p.mu.Unlock()
		case <-save:
			save = nil
			p.saveNodes(ctx)
		}
	}
}

// propose hands a revision to the rollout.
func (p *Plane) propose(ctx context.Context, r *revision.Revision, how rollout.Proposal) {
	how.Revision = r.Version
	p.watch(r.Watched)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revisions[r.Version] = r
	p.lookAtHealth(r)
	p.perform(ctx, p.machine.Propose(how, p.now()))
	tell(p.wake)
}

// alsoKnownAs gives a version the number of a revision that was kept under another one: what it
// compiles to depends on the program's options, too.
func (p *Plane) alsoKnownAs(version string, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.numbers[version] = number
}

// touch tells those who watch that the status may have changed.
func (p *Plane) touch() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// tell sends a word to a goroutine that looks for what has happened by itself.
func tell(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// take feeds one event of a stream to the machine.
func (p *Plane) take(ctx context.Context, e server.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, who := e.Peer.Key, rollout.Node{ID: e.Peer.ID, Kind: e.Peer.Kind}
	switch e.Kind {
	case server.Opened:
		p.log.InfoContext(ctx, "node connected", "node", who.ID, "kind", who.Kind.String(), "region", e.Peer.Region)
		p.peers[key] = e.Peer
		p.dirty = true
		p.perform(ctx, p.machine.Connect(key, who, p.now()))
	case server.Changed:
		p.perform(ctx, p.acknowledged(key))
	case server.Refused:
		p.perform(ctx, p.refusal(ctx, e))
	case server.Closed:
		p.log.InfoContext(ctx, "node disconnected", "node", who.ID, "kind", who.Kind.String())
		delete(p.peers, key)
		delete(p.shown, key)
		delete(p.refusedRevision, key)
		p.dirty = true
		p.perform(ctx, p.machine.Disconnect(key, p.now()))
	}
}

// refusal finds out whether what was refused is what the node is shown now.
func (p *Plane) refusal(ctx context.Context, e server.Event) []rollout.Action {
	key, r := e.Peer.Key, e.Refusal
	var group resources.Group
	var serial uint64
	about := ""
	if e.Peer.Kind == rollout.Processor {
		group, serial = p.policies, p.policySerial
		about = p.machine.Progress().Active
	} else if s, ok := p.shown[key]; ok {
		group, serial = s.set.Group(r.TypeURL), s.view.Serial
		about = s.view.Clusters[0]
		if p.refusesHealth(ctx, e.Peer, s, r) {
			return p.acknowledged(key)
		}
	}
	current := r.Concerns(group)
	if current {
		p.refusedRevision[key] = about
	} else {
		delete(p.refusedRevision, key)
	}
	p.log.WarnContext(ctx, "node refused an update", "node", e.Peer.ID, "kind", e.Peer.Kind.String(),
		"type", server.TypeName(r.TypeURL), "revision", about, "current", current, "detail", r.Detail)
	if !current {
		return nil
	}
	return p.machine.Nack(key, serial, r.TypeURL, r.Detail, p.now())
}

// acknowledged tells the machine when a stream holds what it was shown.
func (p *Plane) acknowledged(key rollout.Key) []rollout.Action {
	standing, ok := p.machine.Standing(key)
	if !ok || standing.InSync {
		return nil
	}
	if s, ok := p.shown[key]; ok {
		if p.server.Holds(key, s.set) {
			return p.machine.Ack(key, s.view.Serial, p.now())
		}
		return nil
	}
	if p.policySerial > 0 && p.server.HoldsPolicies(key, p.policies) {
		return p.machine.Ack(key, p.policySerial, p.now())
	}
	return nil
}

// forget drops revisions that the machine no longer refers to.
func (p *Plane) forget() {
	referenced := p.machine.Referenced()
	for version := range p.revisions {
		if !slices.Contains(referenced, version) && !slices.Contains(p.live, version) {
			delete(p.revisions, version)
		}
	}
	for version := range p.numbers {
		if _, ok := p.revisions[version]; !ok && version != p.head.Version {
			delete(p.numbers, version)
		}
	}
}
