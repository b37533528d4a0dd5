// Package status is what the control plane says about itself at /v1/status: plain
// data, the same types for the server and for those who read it.
package status

import "time"

// Status is the whole answer.
type Status struct {
	// Ready: there is a revision to serve. Reason says why not.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
	// Version of the program.
	Version string `json:"version,omitempty"`
	// Started is when the control plane began.
	Started time.Time `json:"started"`
	// Head is the newest revision of the history; absent before the first one. What nodes
	// are given may still be an older one, or again.
	Head *Head `json:"head,omitempty"`
	// Pinned are the resources, as Kind/name, that a rollback keeps although their files say
	// otherwise.
	Pinned []string `json:"pinned,omitempty"`
	// Revision is what nodes have or are being given; absent before the first one.
	Revision *Revision `json:"revision,omitempty"`
	// Refused is the last configuration that could not be used.
	Refused *Refused `json:"refused,omitempty"`
	// Rejected is the last revision that a node refused, until a newer one is applied.
	Rejected *Rejected `json:"rejected,omitempty"`
	// Problems are other things that an operator should know, such as a state
	// directory that cannot be written.
	Problems []string `json:"problems,omitempty"`
	// Warnings are what an operator should know of a configuration although it is good.
	Warnings []string `json:"warnings,omitempty"`
	// Nodes in order of kind, id and connection.
	Nodes []Node `json:"nodes"`
	// Servers of the revision in order of name.
	Servers []Server `json:"servers"`
	// Routes of the revision in order of name.
	Routes []Route `json:"routes,omitempty"`
	// Breakers that are not closed, or that an operator holds, in order of server, tool and region.
	Breakers []Breaker `json:"breakers,omitempty"`
	// Drains are what operators have taken out of service, in order of server, region and endpoint.
	Drains []Drain `json:"drains,omitempty"`
}

// Drain is a region or an endpoint that an operator has taken out of service.
type Drain struct {
	// Server is empty for a region of every server. One of Region and Endpoint is set.
	Server   string `json:"server,omitempty"`
	Region   string `json:"region,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	// Since when, and when it ends by itself; absent: when it is taken back.
	Since time.Time  `json:"since"`
	Until *time.Time `json:"until,omitempty"`
	// SessionsUntil is when its sessions end.
	SessionsUntil time.Time `json:"sessionsUntil"`
	// By whom, and why.
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// Head is a revision of the history.
type Head struct {
	// Number grows by one with each revision.
	Number uint64 `json:"number"`
	// Version is the content hash.
	Version string `json:"version"`
	Author  string `json:"author"`
	Reason  string `json:"reason,omitempty"`
	// Time when it was made.
	Time time.Time `json:"time"`
	// RollbackOf is the number whose content it has, where it is a rollback.
	RollbackOf uint64 `json:"rollbackOf,omitempty"`
	// Changes against the revision before, as "+ Kind/name", "~ …", "- …".
	Changes []string `json:"changes,omitempty"`
}

// Revision is one whole configuration, compiled.
type Revision struct {
	// Number of the newest revision with this content; absent when it is not known.
	Number uint64 `json:"number,omitempty"`
	// Version is the content hash.
	Version string `json:"version"`
	// Phase of its rollout: add, switch, policies, trim, prune, done.
	Phase string `json:"phase"`
	// Since is when the phase began.
	Since time.Time `json:"since"`
	// Active is the version whose policies the processors are given; it differs from
	// Version in the first phases.
	Active string `json:"active"`
	// Next is a newer version that waits for a safe point; empty when there is none.
	Next string `json:"next,omitempty"`
	// Canaries are the nodes that get it first, while the others are held back.
	Canaries []string `json:"canaries,omitempty"`
	// HeldBy are the Envoys that refuse it, while the processors wait for their sake.
	HeldBy []string `json:"heldBy,omitempty"`
}

// Refused is a configuration that was not used.
type Refused struct {
	// Error has a line for each problem.
	Error string `json:"error"`
	// At is when it was first seen.
	At time.Time `json:"at"`
	// Standing: the directory still has it; false once a good one took its place.
	Standing bool `json:"standing"`
}

// Rejected is a revision that a node refused.
type Rejected struct {
	Version string    `json:"version"`
	Node    string    `json:"node"`
	Type    string    `json:"type"`
	Detail  string    `json:"detail"`
	At      time.Time `json:"at"`
	// TakenBack: from all nodes. Otherwise the node alone stays with what it had.
	TakenBack bool `json:"takenBack,omitempty"`
}

// Sync is how a node stands.
type Sync string

// Values of Sync.
const (
	// Synced: it has acknowledged all that it was shown.
	Synced Sync = "synced"
	// Pending: an answer is outstanding, for a short time.
	Pending Sync = "pending"
	// Silent: it was sent a response and said neither yes nor no in time.
	Silent Sync = "silent"
	// Rejecting: its last word was no, or it stays with an older revision since it
	// refuses the one that the others have.
	Rejecting Sync = "rejected"
)

// Node is one connection.
type Node struct {
	ID string `json:"id"`
	// Kind is envoy or extproc.
	Kind   string `json:"kind"`
	Region string `json:"region"`
	// UserAgent is the name and version that the node gives.
	UserAgent string `json:"userAgent,omitempty"`
	// Protocol is delta or sotw (state of the world).
	Protocol       string    `json:"protocol"`
	ConnectedSince time.Time `json:"connectedSince"`
	Sync           Sync      `json:"sync"`
	// SilentSince is set with Silent: when the unanswered response was sent.
	SilentSince *time.Time `json:"silentSince,omitempty"`
	// Late: rollouts do not wait for it.
	Late bool `json:"late,omitempty"`
	// Revisions that it is shown, the preferred one first. A processor is shown one.
	Revisions []string `json:"revisions,omitempty"`
	// Types by short name: clusters, endpoints, listeners, routes, policies, catalog.
	Types map[string]Type `json:"types"`
	// Nack is its last refusal, kept until the connection ends.
	Nack *Nack `json:"nack,omitempty"`
}

// Type is one resource type of one node.
type Type struct {
	// Acked is the version (content hash) that it acknowledged last.
	Acked string `json:"acked,omitempty"`
	// Resources is how many it has of a delta subscription.
	Resources int `json:"resources,omitempty"`
	// Pending: a response has not been answered.
	Pending bool `json:"pending,omitempty"`
}

// Nack is a refusal in the node's own words.
type Nack struct {
	// Revision that was refused; empty when it is no longer known.
	Revision string    `json:"revision,omitempty"`
	Type     string    `json:"type"`
	Detail   string    `json:"detail"`
	At       time.Time `json:"at"`
	// Standing: nothing was acknowledged of this type since, or it is why the node stays
	// with an older revision.
	Standing bool `json:"standing"`
}

// Server summarises one MCPServer.
type Server struct {
	Name    string   `json:"name"`
	Regions []Region `json:"regions"`
	// SLO is what its callers are promised; absent: nothing.
	SLO *SLO `json:"slo,omitempty"`
}

// SLO is what callers of a server are promised.
type SLO struct {
	// Availability from 0 to 1; 0: none is promised.
	Availability float64 `json:"availability,omitempty"`
	// P95Seconds in which 95 of 100 answers begin; 0: none is promised.
	P95Seconds float64 `json:"p95Seconds,omitempty"`
}

// Region of a server, in written order.
type Region struct {
	Name      string     `json:"name"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint of a region.
type Endpoint struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Route summarises one MCPRoute.
type Route struct {
	Name string `json:"name"`
	Path string `json:"path"`
	// Servers in written order.
	Servers []string `json:"servers"`
	// ToolRules is how many there are.
	ToolRules int `json:"toolRules"`
}

// Breaker keeps calls of one tool of one server away from one region.
type Breaker struct {
	Server string `json:"server"`
	Tool   string `json:"tool"`
	// Region; empty: all of them, where an operator holds it there.
	Region string `json:"region,omitempty"`
	// State is open, half-open or closed.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// RetryAt is when an open one tries a call again.
	RetryAt *time.Time `json:"retryAt,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	// By is the processor that decided, or "operator NAME".
	By string `json:"by"`
	// Openings without staying closed in between.
	Openings uint32 `json:"openings,omitempty"`
	// Held: an operator says so, until Until or until it is taken back.
	Held  bool       `json:"held,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// States of a Breaker.
const (
	BreakerOpen     = "open"
	BreakerHalfOpen = "half-open"
	BreakerClosed   = "closed"
)
