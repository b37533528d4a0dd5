package resources

import (
	"sync"

	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
)

// Hashes makes groups as NewGroup does, and serialises and hashes a message only once: the
// very same one, by identity, has the same version. The zero Hashes is ready; it is safe for
// concurrent use.
type Hashes struct {
	mu         sync.Mutex
	generation int
	known      map[types.Resource]hashed
}

type hashed struct {
	Versioned
	name string
	used int
}

// Group computes the versions of resources that have not been seen; see NewGroup.
func (h *Hashes) Group(resources map[string]types.Resource) (Group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[types.Resource]hashed{}
	}
	g := make(Group, len(resources))
	for name, message := range resources {
		is, ok := h.known[message]
		if !ok || is.name != name {
			r, err := versioned(name, message)
			if err != nil {
				return nil, err
			}
			is = hashed{Versioned: r, name: name, used: -1}
		}
		if is.used != h.generation {
			is.used = h.generation
			h.known[message] = is
		}
		g[name] = is.Versioned
	}
	return g, nil
}

// Forget lets go of messages that no group was made of since the second last call of Forget.
func (h *Hashes) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for message, is := range h.known {
		if is.used+1 < h.generation {
			delete(h.known, message)
		}
	}
	h.generation++
}
