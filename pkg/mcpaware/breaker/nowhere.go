package breaker

// Nowhere says whether a tool's calls are refused in all regions just now, and why, without asking to try
// one. Where a trial is due the tool counts as offered: somebody has to make it.
func (s *Set) Nowhere(server, tool string, regions []string) (reason string, refused bool) {
	if s.Quiet() || len(regions) == 0 {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	for _, region := range regions {
		key := Key{server, tool, region}
		if o, ok := s.override(key, now); ok {
			if o.state == Closed {
				return "", false
			}
			reason = "held open by an operator"
			continue
		}
		e := s.entries[key]
		if e == nil || e.state != Open || !now.Before(e.retryAt) {
			return "", false
		}
		reason = e.reason
	}
	return reason, true
}
