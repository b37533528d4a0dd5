package outcome

// lead is by how much one caller's failures outnumber those of all others together, at most: a majority vote
// (Boyer and Moore, 1981), in which the failures of two callers cancel each other out. Where there
// are several callers these failures speak for nobody but the one that has them.
type lead struct {
	principal uint64
	surplus   uint32
}

// failures that are counted together.
type failures struct {
	n    uint32
	lead lead
}

// failuresOf are n of one caller.
func failuresOf(principal uint64, n uint32) failures {
	return failures{n: n, lead: lead{principal: principal, surplus: n}}
}

func (f *failures) add(more failures) {
	f.n += more.n
	switch l := &f.lead; {
	case l.principal == more.lead.principal:
		l.surplus += more.lead.surplus
	case l.surplus >= more.lead.surplus:
		l.surplus -= more.lead.surplus
	default:
		*l = lead{principal: more.lead.principal, surplus: more.lead.surplus - l.surplus}
	}
}

// shared is how many of them speak for all callers: of one caller's no more than all others have, and beyond these
// as many as are excused, which another region has shown not to be that caller's fault.
func (f *failures) shared(excused uint32) uint32 {
	surplus := min(f.lead.surplus, f.n)
	return f.n - surplus + min(surplus, excused)
}
