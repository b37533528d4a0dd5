package extproc

import (
	"sync"
	"time"
)

const (
	// saidAgain is how long a line that says something of a configuration or a server is not repeated.
	saidAgain = time.Minute
	// maxSayings bounds how many are remembered; those beyond are not said.
	maxSayings = 1024
)

// sayings are the lines that were written of late, by what they are about. It is safe for concurrent use.
type sayings struct {
	mu   sync.Mutex
	said map[string]time.Time
}

// take says whether a line about something may be written now.
func (s *sayings) take(about string) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said == nil {
		s.said = map[string]time.Time{}
	}
	if last, known := s.said[about]; known && now.Sub(last) < saidAgain {
		return false
	} else if !known && len(s.said) >= maxSayings {
		for other, last := range s.said {
			if now.Sub(last) >= saidAgain {
				delete(s.said, other)
			}
		}
		if len(s.said) >= maxSayings {
			return false
		}
	}
	s.said[about] = now
	return true
}
