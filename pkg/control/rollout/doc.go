// Package rollout moves Envoys and processors from one revision of the
// configuration to the next without losing a request. It is a pure state machine:
// events go in (Propose, Connect, Ack, …), actions come out (Show, SetPolicies, …),
// time is an argument. Revisions are opaque names; what they contain, and how it
// travels, is the caller's business.
//
// A revision goes out in phases (make before break):
//
//	add       every Envoy gets the clusters of the old and the new revision
//	switch    … then the routes of both, the new ones preferred, and the new listeners
//	policies  … then the processors get the new policies, whose stamps all Envoys know by now
//	trim      … then the old routes go
//	prune     … then the old clusters go
//
// Each phase ends when everybody concerned has acknowledged it. Who does not
// within the limit is late: nobody waits for it any more, and only its own
// removals wait for it. As long as a processor may still apply older policies, no
// Envoy loses the routes that those name.
//
// A revision may go to canaries first: add and switch happen for them alone, and then
// again for everybody. A canary that refuses it, or says nothing in time, ends it.
//
// Who refuses a revision that is atomic, or still with the canaries, takes it back
// everywhere. Otherwise it stays on what it had, alone. An Envoy that does so lacks the
// routes that the new policies name, so the rollout is held before that phase while the
// Envoy is there; a processor that does so keeps the routes of what it applies.
package rollout
