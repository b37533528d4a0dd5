package admit

import (
	"cmp"
	"slices"
)

// Room is how full a server is, as this Gate sees it.
type Room struct {
	Server string
	// Active calls are under way, Waiting ones wait for a slot.
	Active, Waiting int
	// Limit on Active, at least 1.
	Limit int
}

// Rooms are the servers that have a limit, in order of their names.
func (g *Gate) Rooms() []Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	rooms := make([]Room, 0, len(g.lanes))
	for server, l := range g.lanes {
		if l.limit.Concurrent > 0 {
			rooms = append(rooms, Room{Server: server, Active: l.active, Waiting: len(l.waiting), Limit: l.limit.Concurrent})
		}
	}
	slices.SortFunc(rooms, func(a, b Room) int { return cmp.Compare(a.Server, b.Server) })
	return rooms
}
