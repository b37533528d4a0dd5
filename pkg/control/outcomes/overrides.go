package outcomes

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func overrideKey(o *outcomev1.Override) Key {
	return Key{o.GetServer(), o.GetTool(), o.GetRegion()}
}

// SetOverride holds a breaker open or closed until it ends or is taken back, in place of
// what was said of the same server, tool and region before. It is kept on disk before
// any processor hears of it; after an error nothing has changed. Errors: ErrTooMany, what is
// wrong with o, and those of Save.
func (s *Server) SetOverride(o *outcomev1.Override) error {
	if err := checkOverride(o); err != nil {
		return fmt.Errorf("holding a breaker: %w", err)
	}
	o = proto.CloneOf(o)
	o.Since = timestamppb.New(s.now())
	return s.replace(func(all map[Key]*outcomev1.Override) error {
		key := overrideKey(o)
		if _, ok := all[key]; !ok && len(all) >= MaxOverrides {
			return ErrTooMany
		}
		all[key] = o
		return nil
	})
}

// TakeBack ends what was said of a server, tool and region. ErrNoOverride says that there
// was nothing.
func (s *Server) TakeBack(key Key) error {
	return s.replace(func(all map[Key]*outcomev1.Override) error {
		if _, ok := all[key]; !ok {
			return ErrNoOverride
		}
		delete(all, key)
		return nil
	})
}

// replace changes a copy of what is in force, keeps it, and then lets it count.
func (s *Server) replace(change func(map[Key]*outcomev1.Override) error) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	now := s.now()
	s.mu.Lock()
	next := maps.Clone(s.overrides)
	s.mu.Unlock()
	maps.DeleteFunc(next, func(_ Key, o *outcomev1.Override) bool { return ended(o, now) })
	if err := change(next); err != nil {
		return err
	}
	if err := s.save(sortedOverrides(next)); err != nil {
		return fmt.Errorf("keeping what operators say of breakers: %w", err)
	}
	s.mu.Lock()
	s.overrides = next
	s.tellLocked()
	s.mu.Unlock()
	s.changed()
	return nil
}

func ended(o *outcomev1.Override, now time.Time) bool {
	return o.GetUntil() != nil && !o.GetUntil().AsTime().After(now)
}

func sortedOverrides(all map[Key]*outcomev1.Override) []*outcomev1.Override {
	out := make([]*outcomev1.Override, 0, len(all))
	for _, key := range slices.SortedFunc(maps.Keys(all), Key.Compare) {
		out = append(out, all[key])
	}
	return out
}

// Overrides gives those in force, by server, tool and region. They must not be changed.
func (s *Server) Overrides() []*outcomev1.Override {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out, _ := s.inForceLocked(now)
	return out
}

// inForceLocked gives them, and when the next one ends; zero when none does.
func (s *Server) inForceLocked(now time.Time) (out []*outcomev1.Override, next time.Time) {
	for _, o := range sortedOverrides(s.overrides) {
		if ended(o, now) {
			continue
		}
		out = append(out, o)
		if until := o.GetUntil(); until != nil && (next.IsZero() || until.AsTime().Before(next)) {
			next = until.AsTime()
		}
	}
	return out, next
}
