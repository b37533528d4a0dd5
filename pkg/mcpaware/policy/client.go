// Package policy keeps the processor's policies: it subscribes to them at the
// control plane over delta xDS, compiles every update as a whole before it is
// accepted (ACK) or refused with the compiler's words (NACK), and keeps the last
// accepted ones on disk, so that a processor that starts while the control plane
// is away still knows what to do. Tool lists that other processors have seen
// arrive on the same stream.
package policy

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/decide"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/session"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/share"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// Bounds on what a control plane may send.
const (
	maxPolicies       = 4096
	maxCatalogEntries = 4096
	maxShares         = 1 << 16
)

// Node is how the processor introduces itself to the control plane (xDS core.v3.Node).
type Node struct {
	// ID is unique among processors, Cluster their common name.
	ID, Cluster string
	// Region goes into locality.region; may be empty.
	Region string
	// Version of the program, shown by the control plane; may be empty.
	Version string
}

// Options of a Client. Conn and Node.ID are required.
type Options struct {
	// Conn leads to the control plane; it may be down.
	Conn grpc.ClientConnInterface
	Node Node
	// StateDir keeps the last accepted resources; empty keeps nothing.
	StateDir string
	// Catalog takes entries that arrive; nil drops them. It is called from Run's
	// goroutine and, for entries from disk, from New.
	Catalog func(*policyv1.CatalogEntry)
	// Installed is told of policies just before they are in force; nil: nobody is. It is called as Catalog is,
	// and must not block.
	Installed func(*decide.Table)
	// Shares takes the shares of callers by server; nil drops them.
	Shares *share.Shares
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// Client holds the current table. Its methods are safe for concurrent use; Run
// may be called once.
type Client struct {
	opts     Options
	log      *slog.Logger
	table    atomic.Pointer[decide.Table]
	keyring  atomic.Pointer[session.Keyring]
	keyed    chan struct{}
	keyOnce  sync.Once
	loaded   chan struct{}
	loadOnce sync.Once
	// connected says that a stream is up and has delivered policies.
	connected atomic.Bool
	version   atomic.Pointer[string]
	refusals  atomic.Uint64
	unsaved   unsaved

	// The rest belongs to Run's goroutine.
	policies, catalog, keys, shares *resourceSet
}

// New makes a client and loads what the state directory has. Files that cannot be
// read or compiled are logged and passed over: the control plane sends them again.
func New(opts Options) (*Client, error) {
	if opts.Conn == nil || opts.Node.ID == "" {
		return nil, fmt.Errorf("policy client: connection and node id are required")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Shares == nil {
		opts.Shares = &share.Shares{}
	}
	if opts.Catalog == nil {
		opts.Catalog = func(*policyv1.CatalogEntry) {}
	}
	c := &Client{
		opts: opts, log: opts.Logger, loaded: make(chan struct{}), keyed: make(chan struct{}),
		policies: newResourceSet(names.TypeURLRoutePolicy, maxPolicies),
		catalog:  newResourceSet(names.TypeURLCatalog, maxCatalogEntries),
		keys:     newResourceSet(names.TypeURLSessionKeys, 1),
		shares:   newResourceSet(names.TypeURLShares, maxShares),
	}
	// Nobody is sent away any more: that is news like any other.
	c.shares.mayEmpty = true
	if opts.StateDir != "" {
		c.restore()
	}
	return c, nil
}

// Table gives the policies in force, nil before any were accepted.
func (c *Client) Table() *decide.Table { return c.table.Load() }

// Loaded is closed once there is a table, from disk or from the control plane.
func (c *Client) Loaded() <-chan struct{} { return c.loaded }

// Connected says whether the control plane is at the other end right now.
func (c *Client) Connected() bool { return c.connected.Load() }

func (c *Client) restore() {
	set, err := load(c.opts.StateDir, policiesFile)
	if err == nil && len(set) > 0 {
		var table *decide.Table
		if table, err = compile(set); err == nil {
			c.policies.accept(set)
			c.install(table, versionOf(set))
			c.log.Info("policies restored", "policies", len(set))
		}
	}
	if err != nil {
		c.log.Warn("saved policies are not usable", "error", err)
	}
	c.restoreKeys()
	c.restoreShares()
	entries, err := load(c.opts.StateDir, catalogFile)
	if err != nil {
		c.log.Warn("saved catalog is not usable", "error", err)
		return
	}
	c.catalog.accept(entries)
	c.learn(entries, nil)
}

func (c *Client) install(table *decide.Table, version string) {
	if c.opts.Installed != nil {
		c.opts.Installed(table)
	}
	c.table.Store(table)
	c.version.Store(&version)
	c.loadOnce.Do(func() { close(c.loaded) })
}

func compile(set map[string]resource) (*decide.Table, error) {
	policies, err := decodeAll(set, func() *policyv1.RoutePolicy { return &policyv1.RoutePolicy{} })
	if err != nil {
		return nil, err
	}
	return decide.Compile(policies)
}

// updatePolicies accepts a response whole or refuses it whole. It is written to
// disk before it is acknowledged: after the ACK the control plane may remove the
// routes that only the older policies name.
func (c *Client) updatePolicies(resp *discoveryv3.DeltaDiscoveryResponse) error {
	set, err := c.policies.apply(resp)
	if err != nil {
		return err
	}
	if len(resp.GetResources()) == 0 && len(resp.GetRemovedResources()) == 0 && maps.EqualFunc(set, c.policies.accepted, sameResource) {
		return nil
	}
	table, err := compile(set)
	if err != nil {
		return err
	}
	c.policies.accept(set)
	c.install(table, versionOf(set))
	c.log.Info("policies accepted", "policies", len(set), "changed", len(resp.GetResources()), "removed", len(resp.GetRemovedResources()))
	if c.opts.StateDir != "" {
		if err := save(c.opts.StateDir, policiesFile, set); err != nil {
			c.log.Warn("policies are in force but not on disk", "error", err)
		}
	}
	return nil
}

func sameResource(a, b resource) bool { return a.version == b.version && a.body == b.body }

// updateCatalog takes what it can: one entry that cannot be read is no reason to
// forget the others.
func (c *Client) updateCatalog(resp *discoveryv3.DeltaDiscoveryResponse) error {
	set, err := c.catalog.apply(resp)
	if err != nil {
		return err
	}
	c.learn(set, c.catalog.accepted)
	c.catalog.accept(set)
	c.unsaved.offer(set)
	c.saveCatalog(false)
	return nil
}

// learn hands over the entries of set that known does not have already.
func (c *Client) learn(set, known map[string]resource) {
	for name, r := range set {
		if old, ok := known[name]; ok && sameResource(old, r) {
			continue
		}
		entries, err := decodeAll(map[string]resource{name: r}, func() *policyv1.CatalogEntry { return &policyv1.CatalogEntry{} })
		if err != nil {
			c.log.Warn("catalog entry is not usable", "error", err)
			continue
		}
		c.opts.Catalog(entries[0])
	}
}

// Run keeps a stream to the control plane until ctx ends. It returns nil then.
func (c *Client) Run(ctx context.Context) error {
	defer c.saveCatalog(true)
	var wait backoff
	// One warning an outage: there may be hundreds of attempts.
	level := slog.LevelWarn
	for {
		started, err := c.stream(ctx)
		c.connected.Store(false)
		if ctx.Err() != nil {
			return nil
		}
		if started {
			wait.reset()
			level = slog.LevelWarn
		}
		pause := wait.next()
		c.log.Log(ctx, level, "control plane is away", "error", err, "have_policies", c.Table() != nil)
		level = slog.LevelDebug
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
