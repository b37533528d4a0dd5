package outcomes

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

// Bounds on what a processor or an operator may say, in bytes.
const (
	maxNameBytes   = 256
	maxReasonBytes = 1024
	maxPrincipals  = 8
	maxLatency     = 129
)

// checkName bounds a text that is kept and shown to people.
func checkName(what, text string) error {
	switch {
	case text == "":
		return fmt.Errorf("%s is missing", what)
	default:
		return checkText(what, text, maxNameBytes)
	}
}

func checkText(what, text string, limit int) error {
	switch {
	case len(text) > limit:
		return fmt.Errorf("%s has %d bytes, at most %d are taken", what, len(text), limit)
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s has characters that cannot be printed", what)
	}
	return nil
}

func usableCount(c *outcomev1.Count) bool {
	if c.GetTool() != "" && checkName("tool", c.GetTool()) != nil {
		return false
	}
	return checkName("server", c.GetServer()) == nil && checkName("method", c.GetMethod()) == nil &&
		checkText("region", c.GetRegion(), maxNameBytes) == nil && checkText("endpoint", c.GetEndpoint(), maxNameBytes) == nil &&
		len(c.GetLatency()) <= maxLatency && len(c.GetFailedPrincipals()) <= maxPrincipals && len(c.GetGoodPrincipals()) <= maxPrincipals
}

func usableLoad(l *outcomev1.Load) bool {
	return checkName("server", l.GetServer()) == nil && checkName("endpoint", l.GetEndpoint()) == nil
}

func usableCalls(c *outcomev1.Calls) bool { return checkName("server", c.GetServer()) == nil }

func usableBreaker(b *outcomev1.Breaker) bool {
	switch b.GetState() {
	case outcomev1.BreakerState_BREAKER_STATE_CLOSED, outcomev1.BreakerState_BREAKER_STATE_OPEN, outcomev1.BreakerState_BREAKER_STATE_HALF_OPEN:
	default:
		return false
	}
	return checkName("server", b.GetServer()) == nil && checkName("tool", b.GetTool()) == nil && checkName("region", b.GetRegion()) == nil &&
		b.GetSince().CheckValid() == nil && (b.GetRetryAt() == nil || b.GetRetryAt().CheckValid() == nil) &&
		checkText("reason", b.GetReason(), maxReasonBytes) == nil && checkText("by", b.GetBy(), maxNameBytes) == nil
}

var errOverrideState = errors.New("a breaker is held open or closed, nothing else")

func checkOverride(o *outcomev1.Override) error {
	if s := o.GetState(); s != outcomev1.BreakerState_BREAKER_STATE_OPEN && s != outcomev1.BreakerState_BREAKER_STATE_CLOSED {
		return errOverrideState
	}
	errs := []error{
		checkName("server", o.GetServer()), checkName("tool", o.GetTool()), checkText("region", o.GetRegion(), maxNameBytes),
		// Operators write; who it was comes first.
		checkText("by", o.GetBy(), 2*maxNameBytes), checkText("reason", o.GetReason(), maxReasonBytes),
	}
	if o.GetUntil() != nil {
		errs = append(errs, o.GetUntil().CheckValid())
	}
	return errors.Join(errs...)
}
