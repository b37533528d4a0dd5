package outcomes

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Bounds on purges: how many are in force at once, and how many a processor may ask for in one
// summary. Beyond the first, one of everything stands for all.
const (
	MaxPurges   = 1024
	maxOutdated = 64
)

// purgeKey is what a purge is about; empty members are all of that kind.
type purgeKey struct{ server, tool string }

func purgeKeyOf(p *outcomev1.Purge) purgeKey { return purgeKey{p.GetServer(), p.GetTool()} }

func (k purgeKey) covers(other purgeKey) bool {
	return (k.server == "" || k.server == other.server) && (k.tool == "" || k.tool == other.tool)
}

// Purge has all processors forget what they remember of a server's tools, of one tool of it, or of
// everything. It is kept before any processor hears of it; after an error nothing has changed. The
// serial is higher than that of every purge before.
func (s *Server) Purge(server, tool, by, reason string) (serial uint64, err error) {
	p := &outcomev1.Purge{Server: server, Tool: tool, By: by, Reason: reason}
	if err := checkPurge(p); err != nil {
		return 0, fmt.Errorf("purging remembered results: %w", err)
	}
	return s.addPurges([]*outcomev1.Purge{p})
}

var errToolOfAny = errors.New("a tool is one of a server")

func checkPurge(p *outcomev1.Purge) error {
	if p.GetServer() == "" && p.GetTool() != "" {
		return errToolOfAny
	}
	return errors.Join(
		checkText("server", p.GetServer(), maxNameBytes), checkText("tool", p.GetTool(), maxNameBytes),
		checkText("by", p.GetBy(), 2*maxNameBytes), checkText("reason", p.GetReason(), maxReasonBytes))
}

// addPurges puts purges in force, all with one serial.
func (s *Server) addPurges(added []*outcomev1.Purge) (uint64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	next, serial := slices.Clone(s.purges), s.purgeSerial+1
	s.mu.Unlock()
	now := s.now()
	// By the clock, so that a control plane that has lost its state still goes on from above what
	// processors have heard of.
	serial = max(serial, uint64(now.UnixMilli())) //nolint:gosec // after 1970
	at := timestamppb.New(now)
	for _, p := range added {
		p.Serial, p.At = serial, at
		key := purgeKeyOf(p)
		next = slices.DeleteFunc(next, func(old *outcomev1.Purge) bool { return key.covers(purgeKeyOf(old)) })
		next = append(next, p)
	}
	if len(next) > MaxPurges {
		last := next[len(next)-1]
		next = []*outcomev1.Purge{{Serial: serial, At: at, By: last.GetBy(), Reason: "more purges than are kept: all of it"}}
	}
	if err := s.savePurges(next); err != nil {
		return 0, fmt.Errorf("keeping purges: %w", err)
	}
	s.mu.Lock()
	s.purges, s.purgeSerial = next, serial
	s.tellLocked()
	s.mu.Unlock()
	return serial, nil
}

// restorePurges takes those that were in force before the last stop.
func (s *Server) restorePurges(saved []*outcomev1.Purge) {
	for _, p := range saved {
		if err := checkPurge(p); err != nil {
			s.log.Warn("saved purge is not usable", "error", err)
			continue
		}
		s.purges = append(s.purges, p)
		s.purgeSerial = max(s.purgeSerial, p.GetSerial())
	}
}

// unheard gives what a summary says to be out of date and the one before did not: a processor says it again until it has heard of
// the purge, and a second purge would take what was remembered after the first.
func (st *stream) unheard(outdated []*outcomev1.Outdated) []*outcomev1.Outdated {
	said := map[uint64]bool{}
	var fresh []*outcomev1.Outdated
	for _, o := range outdated[:min(len(outdated), maxOutdated)] {
		if id := o.GetId(); id != 0 {
			said[id] = true
			if st.outdated[id] {
				continue
			}
		}
		fresh = append(fresh, o)
	}
	st.outdated = said
	return fresh
}

// outdate makes purges of what a processor has found to be out of date, and says whether they are in force.
func (s *Server) outdate(processor string, outdated []*outcomev1.Outdated) bool {
	var added []*outcomev1.Purge
	for _, o := range outdated {
		p := &outcomev1.Purge{Server: o.GetServer(), Tool: o.GetTool(), By: processor, Reason: o.GetReason()}
		if checkPurge(p) == nil {
			added = append(added, p)
		}
	}
	if len(added) == 0 {
		return true
	}
	if _, err := s.addPurges(added); err != nil {
		s.log.Warn("results that are out of date are not told to the other processors", "processor", processor, "error", err)
		return false
	}
	return true
}
