// Package catalog keeps what processors have learned about the lists that MCP
// servers give, the newest answer for each key, so that every processor of the
// fleet can serve a list which only one of them has seen. It is the control
// plane's side of the policyv1.Catalog service.
package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/resources"
)

// Bounds of the catalog, in entries and bytes.
const (
	MaxEntries    = 4096
	MaxEntryBytes = 1 << 20
	MaxBytes      = 64 << 20
	maxNameBytes  = 1 << 10
)

// Publish tells processors what changed. Calls come one after the other.
type Publish func(changed map[string]resources.Message, removed []string) error

// Store implements policyv1.CatalogServer. It is safe for concurrent use.
type Store struct {
	policyv1.UnimplementedCatalogServer
	publish Publish
	now     func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	entries map[string]*policyv1.CatalogEntry
	bytes   int
	limits  limits
}

type limits struct{ entries, bytes int }

// New makes an empty store. now is time.Now and logger discards when nil.
func New(publish Publish, now func() time.Time, logger *slog.Logger) *Store {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Store{
		publish: publish, now: now, log: logger, entries: make(map[string]*policyv1.CatalogEntry),
		limits: limits{entries: MaxEntries, bytes: MaxBytes},
	}
}

// Report takes entries (policyv1.Catalog). One that cannot be kept refuses the
// report, and none of it is kept.
func (s *Store) Report(ctx context.Context, req *policyv1.ReportRequest) (*policyv1.ReportResponse, error) {
	if len(req.GetEntries()) > s.limits.entries {
		return nil, grpcstatus.Errorf(codes.InvalidArgument, "%d entries, at most %d are taken", len(req.GetEntries()), s.limits.entries)
	}
	now := s.now()
	entries := make([]*policyv1.CatalogEntry, len(req.GetEntries()))
	for i, e := range req.GetEntries() {
		if err := check(e); err != nil {
			return nil, grpcstatus.Errorf(codes.InvalidArgument, "entries[%d]: %v", i, err)
		}
		entries[i] = e
		// A clock that runs ahead must not make its answers win for ever.
		if e.GetAsOf().AsTime().After(now) {
			entries[i] = proto.CloneOf(e)
			entries[i].AsOf = timestamppb.New(now)
		}
	}
	if err := s.keep(entries); err != nil {
		s.log.ErrorContext(ctx, "catalog was not passed on", "error", err)
		return nil, grpcstatus.Error(codes.Internal, "the catalog was not passed on")
	}
	return &policyv1.ReportResponse{}, nil
}

func check(e *policyv1.CatalogEntry) error {
	for _, f := range []struct{ name, value string }{
		{"key", e.GetKey()}, {"server", e.GetServer()}, {"method", e.GetMethod()}, {"revision", e.GetRevision()},
	} {
		if f.value == "" || len(f.value) > maxNameBytes || !utf8.ValidString(f.value) {
			return fmt.Errorf("%s must have 1 to %d bytes of UTF-8", f.name, maxNameBytes)
		}
	}
	if e.GetKey() == "*" {
		return fmt.Errorf("key %q means every resource in xDS", e.GetKey())
	}
	if len(e.GetResult()) > MaxEntryBytes {
		return fmt.Errorf("result has %d bytes, at most %d are kept", len(e.GetResult()), MaxEntryBytes)
	}
	if v := jsontext.Value(e.GetResult()); v.Kind() != '{' || !v.IsValid() {
		return fmt.Errorf("result is not a JSON object")
	}
	if err := e.GetAsOf().CheckValid(); err != nil {
		return fmt.Errorf("as_of: %w", err)
	}
	return nil
}

// keep stores what is newer than what there is, gives up the oldest beyond the
// bounds, and passes the difference on.
func (s *Store) keep(entries []*policyv1.CatalogEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := make(map[string]resources.Message)
	for _, e := range entries {
		old, ok := s.entries[e.GetKey()]
		if ok && !e.GetAsOf().AsTime().After(old.GetAsOf().AsTime()) {
			continue
		}
		if ok {
			s.bytes -= size(old)
		}
		s.entries[e.GetKey()] = e
		s.bytes += size(e)
		changed[e.GetKey()] = e
	}
	removed := s.evict()
	for _, key := range removed {
		delete(changed, key)
	}
	if len(changed) == 0 && len(removed) == 0 {
		return nil
	}
	return s.publish(changed, removed)
}

// Tools gives the names of a server's tools as its lists have them, sorted. What only
// callers with credentials were shown is not known here.
func (s *Store) Tools(server string) []string {
	return slices.Sorted(maps.Keys(s.OutputSchemas(server)))
}

// OutputSchemas gives the tools of a server, as Tools does, with their output schemas; nil for those that
// have none. Where lists differ, that of the newest one counts.
func (s *Store) OutputSchemas(server string) map[string]jsontext.Value {
	s.mu.Lock()
	var lists []*policyv1.CatalogEntry
	for _, e := range s.entries {
		if e.GetServer() == server && e.GetMethod() == "tools/list" {
			lists = append(lists, e)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(lists, func(a, b *policyv1.CatalogEntry) int {
		return a.GetAsOf().AsTime().Compare(b.GetAsOf().AsTime())
	})
	known := map[string]jsontext.Value{}
	for _, list := range lists {
		addTools(known, list.GetResult())
	}
	return known
}

func (s *Store) evict() []string {
	var removed []string
	for len(s.entries) > s.limits.entries || s.bytes > s.limits.bytes {
		var oldest *policyv1.CatalogEntry
		for _, e := range s.entries {
			if oldest == nil || older(e, oldest) {
				oldest = e
			}
		}
		delete(s.entries, oldest.GetKey())
		s.bytes -= size(oldest)
		removed = append(removed, oldest.GetKey())
	}
	return removed
}

// older compares by time, and by key among equals, so that the choice is not left
// to the order of a map.
func older(a, b *policyv1.CatalogEntry) bool {
	at, bt := a.GetAsOf().AsTime(), b.GetAsOf().AsTime()
	if at.Equal(bt) {
		return a.GetKey() < b.GetKey()
	}
	return at.Before(bt)
}

func size(e *policyv1.CatalogEntry) int { return proto.Size(e) }
