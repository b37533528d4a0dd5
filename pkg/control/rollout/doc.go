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
package rollout
