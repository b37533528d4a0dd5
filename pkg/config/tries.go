package config

import (
	"fmt"
	"strconv"
	"time"
)

// Longest is the longest sum of the back-offs between attempts tries. Envoy draws each at random from the
// whole milliseconds below a limit that begins at Base and doubles up to Max.
func (b BackOff) Longest(attempts int) time.Duration {
	var sum Duration
	limit := min(b.Base, b.Max)
	for range attempts - 1 {
		sum += max(limit-minTimeout, 0)
		limit = min(2*limit, b.Max)
	}
	return time.Duration(sum)
}

// longest is how long a call takes at most to be told that all its tries failed.
func (r Retry) longest() Duration {
	return Duration(r.Attempts)*r.PerTryTimeout + Duration(r.BackOff.Longest(r.Attempts))
}

// backOffShare is how much of a timeout back-offs take that nobody wrote.
const backOffShare = 10

// applyDefaults fills in what was left out so that the tries fit into timeout: as many
// attempts as fit, up to DefaultAttempts, and an equal share for each of what the back-offs leave.
func (r *Retry) applyDefaults(timeout Duration) {
	if r.Attempts == 0 {
		shortest := max(r.PerTryTimeout, minTimeout)
		r.Attempts = int(max(1, min(DefaultAttempts, (timeout-r.backOffAsWritten(DefaultAttempts))/shortest)))
	}
	room := timeout / backOffShare
	if r.PerTryTimeout != 0 {
		room = timeout - Duration(r.Attempts)*r.PerTryTimeout
	}
	r.BackOff.applyDefaults(r.Attempts, room)
	if r.PerTryTimeout == 0 {
		r.PerTryTimeout = r.share(timeout)
	}
}

// backOffAsWritten is the longest sum of the back-offs that were written, 0 where none was.
func (r Retry) backOffAsWritten(attempts int) Duration {
	if r.BackOff.Base == 0 {
		return 0
	}
	b := r.BackOff
	setDefault(&b.Max, max(DefaultMaxBackOff, b.Base))
	return Duration(b.Longest(attempts))
}

// applyDefaults takes the usual back-off, or the largest that fits into room.
func (b *BackOff) applyDefaults(attempts int, room Duration) {
	if b.Base != 0 {
		setDefault(&b.Max, max(DefaultMaxBackOff, b.Base))
		return
	}
	longest := b.Max
	setDefault(&longest, DefaultMaxBackOff)
	for base := min(DefaultBackOff, longest); base >= minTimeout; base -= minTimeout {
		b.Base, b.Max = base, longest
		if Duration(b.Longest(attempts)) <= room {
			return
		}
	}
	// No room at all: a limit of 1ms leaves 0ms alone.
	b.Base, b.Max = minTimeout, minTimeout
}

// share divides what the back-offs leave of a timeout into equal parts: whole
// milliseconds, for parts of a second and more whole hundredths of a second.
func (r Retry) share(timeout Duration) Duration {
	part := (timeout - Duration(r.BackOff.Longest(r.Attempts))) / Duration(r.Attempts)
	step := minTimeout
	if r.Attempts > 1 && part >= Duration(time.Second) {
		step = 10 * minTimeout
	}
	return max(part-part%step, minTimeout)
}

// attempts prints and compares as other ranges do.
type attempts int

func (a attempts) String() string { return strconv.Itoa(int(a)) }

func checkTries(doc *document, path string, timeout, idle Duration, retry Retry) {
	rangeAt(doc, path+".timeout", timeout, minTimeout, maxTimeout)
	rangeAt(doc, path+".idleTimeout", idle, minTimeout, maxIdleTimeout)
	rangeAt(doc, path+".retry.attempts", attempts(retry.Attempts), 1, maxAttempts)
	rangeAt(doc, path+".retry.perTryTimeout", retry.PerTryTimeout, minTimeout, maxTimeout)
	rangeAt(doc, path+".retry.backOff.base", retry.BackOff.Base, minTimeout, maxBackOff)
	rangeAt(doc, path+".retry.backOff.max", retry.BackOff.Max, minTimeout, maxBackOff)
}

// checkSums makes sure that the tries fit into each timeout, and each timeout into the route's cap.
func checkSums(r loaded[MCPRoute]) {
	spec := r.value.Spec
	checkSum(r, "spec", spec.Timeout, spec.Retry)
	for i, rule := range spec.Methods {
		checkSum(r, item("spec.methods", i), rule.Timeout, rule.Retry)
	}
	for i, rule := range spec.Tools {
		checkSum(r, item("spec.tools", i), rule.Timeout, rule.Retry)
	}
}

func checkSum(r loaded[MCPRoute], path string, timeout Duration, retry Retry) {
	doc := r.document
	// origin says where a timeout comes from that does not stand beside the tries.
	origin := ""
	if !doc.written(path + ".timeout") {
		origin = " (the route's)"
		if path == "spec" || !doc.written("spec.timeout") {
			origin = " (the default)"
		}
		if !doc.clean("spec.timeout") {
			return
		}
	}
	if !doc.clean(path+".timeout", path+".retry") {
		return
	}
	if doc.written(path+".timeout") && doc.clean("spec.maxTimeout") && timeout > r.value.Spec.MaxTimeout {
		doc.report(path+".timeout", "", "%s is longer than the route's maxTimeout, %s%s",
			timeout, r.value.Spec.MaxTimeout, doc.orDefault("spec.maxTimeout"))
		return
	}
	if base, most := retry.BackOff.Base, retry.BackOff.Max; base > most {
		doc.report(path+".retry.backOff", "", "the base, %s, is longer than the max, %s", base, most)
		return
	}
	if retry.PerTryTimeout > timeout {
		doc.report(path+".retry.perTryTimeout", "", "%s is longer than the whole timeout, %s%s", retry.PerTryTimeout, timeout, origin)
		return
	}
	if sum := retry.longest(); sum > timeout {
		checkFit(doc, path, timeout, retry, origin)
	}
}

// checkFit says what of tries that do not fit could be changed.
func checkFit(doc *document, path string, timeout Duration, retry Retry, origin string) {
	waits := ""
	if backOffs := Duration(retry.BackOff.Longest(retry.Attempts)); backOffs > 0 {
		waits = fmt.Sprintf(" and back-offs of up to %s", backOffs)
	}
	fits := retry.Attempts
	for fits > 1 {
		fits--
		if fewer := (Retry{Attempts: fits, PerTryTimeout: retry.PerTryTimeout, BackOff: retry.BackOff}); fewer.longest() <= timeout {
			break
		}
	}
	hint := fmt.Sprintf("attempts %d or timeout %s would fit", fits, retry.longest())
	if room := timeout - Duration(retry.BackOff.Longest(retry.Attempts)); room >= Duration(retry.Attempts)*minTimeout {
		hint = fmt.Sprintf("perTryTimeout %s, %s", retry.share(timeout), hint)
	}
	doc.report(path+".retry", hint, "%d attempts of %s%s%s take %s, but the timeout is %s%s", retry.Attempts, retry.PerTryTimeout,
		doc.orDefault(path+".retry.perTryTimeout"), waits, retry.longest(), timeout, origin)
}
