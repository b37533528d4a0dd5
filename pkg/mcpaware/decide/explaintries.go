package decide

import (
	"fmt"
	"time"
)

// explainTries fills in what bounds the tries of a message.
func (e *Explanation) explainTries(d *Decision) {
	e.PerTryTimeout = d.Action.GetPerTryTimeout().AsDuration()
	e.IdleTimeout = d.Action.GetIdleTimeout().AsDuration()
	e.Unretried = d.Action.GetUnretried()
	if e.Attempts > 1 {
		e.BackOff = d.Action.GetBackOff()
	}
	e.Wait = d.Wait
	if server, ok := d.Route.Server(d.Action.GetServer()); ok && e.Unretried != "" {
		e.Budget = server.GetRetryBudget()
	}
}

func (e *Explanation) retries() string {
	switch {
	case e.Attempts <= 1:
		return "none"
	case e.Safe:
		return fmt.Sprintf("at most %d tries; safe, so every failure is tried again", e.Attempts)
	case e.Once:
		return fmt.Sprintf("at most %d tries, only when provably unsent: the message continues an earlier one", e.Attempts)
	}
	return fmt.Sprintf("at most %d tries, only when provably unsent", e.Attempts)
}

// retryDetails are further lines about retries.
func (e *Explanation) retryDetails() []string {
	var lines []string
	if most := e.BackOff.GetMax().AsDuration(); most > 0 {
		lines = append(lines, fmt.Sprintf("before each a random wait below %v, twice as long each time, up to %v", e.BackOff.GetBase().AsDuration(), most))
	}
	if b := e.Budget; b != nil {
		lines = append(lines,
			fmt.Sprintf("in any 10 s at most %d%% of these calls and %d more of the server's are tried again;", b.GetPercent(), b.GetFloor()),
			fmt.Sprintf("after that only what is provably unsent (Envoy route %s)", e.Unretried))
	}
	return lines
}

func (e *Explanation) timeouts() string {
	text := fmt.Sprintf("%s, per try %s, between events %s", limitText(e.Timeout), limitText(e.PerTryTimeout), limitText(e.IdleTimeout))
	if e.Wait > 0 {
		text += fmt.Sprintf("; the caller waits %v", e.Wait.Round(time.Millisecond))
	}
	return text
}
