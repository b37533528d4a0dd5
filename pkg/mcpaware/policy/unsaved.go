package policy

import (
	"sync"
	"time"
)

// catalogSaveInterval is how often the catalog is written to disk at most: lists
// are reported again all the time, and each write is flushed.
const catalogSaveInterval = 5 * time.Second

// unsaved is what of the catalog is not on disk yet.
type unsaved struct {
	mu sync.Mutex
	// set is the newest one; nil where it is saved. It is not changed.
	set map[string]resource
	// saved is when one was written last, later writes the one that has come since.
	saved time.Time
	later *time.Timer
}

func (u *unsaved) offer(set map[string]resource) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.set = set
}

// saveCatalog writes what is new, at once or when it is time: a list that nothing comes after must not wait
// for a clean end of the process.
func (c *Client) saveCatalog(now bool) {
	u := &c.unsaved
	u.mu.Lock()
	defer u.mu.Unlock()
	if now && u.later != nil {
		u.later.Stop()
		u.later = nil
	}
	if c.opts.StateDir == "" || u.set == nil {
		return
	}
	if wait := catalogSaveInterval - time.Since(u.saved); !now && wait > 0 {
		if u.later == nil {
			u.later = time.AfterFunc(wait, func() { c.saveCatalog(true) })
		}
		return
	}
	set := u.set
	u.saved, u.set = time.Now(), nil
	if err := save(c.opts.StateDir, catalogFile, set); err != nil {
		c.log.Warn("catalog is not on disk", "error", err)
	}
}
