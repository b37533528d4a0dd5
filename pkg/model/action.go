package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// limits are what people wrote about the time and the tries of a message.
type limits struct {
	timeout, idle config.Duration
	retry         config.Retry
}

// unretried stands for the class in the stamp of an action's twin.
const unretried = "unretried"

// action makes an Action and its stamp. An unsafe call has one try that counts,
// so that try may take the whole timeout.
func (b *builder) action(route, server string, class Class, l limits) Action {
	a := Action{
		Server: server, Class: class, Timeout: time.Duration(l.timeout), IdleTimeout: time.Duration(l.idle),
		PerTryTimeout: time.Duration(l.retry.PerTryTimeout), Attempts: l.retry.Attempts,
		Reopen:  b.reopens[server],
		BackOff: BackOff{Base: time.Duration(l.retry.BackOff.Base), Max: time.Duration(l.retry.BackOff.Max)},
	}
	switch class {
	case Unsafe:
		a.PerTryTimeout = a.Timeout
	case Stream, Listen:
		a.Timeout, a.PerTryTimeout, a.IdleTimeout = 0, 0, 0
		// What is listened to belongs to no session.
		a.Reopen = a.Reopen && class == Stream
	case Safe:
		if a.Attempts > 1 {
			a.Unretried = b.stamp(route, unretried, a)
		}
	}
	a.Stamp = b.stamp(route, string(class), a)
	return a
}

// stamp names an Envoy route by a hash of everything that it does.
func (b *builder) stamp(route, class string, a Action) string {
	meaning := fmt.Appendf(nil, "%s|%s|%s|%s|%d|%d|%d|%d|%d|%d%s",
		route, a.Server, b.paths[a.Server], class, a.Timeout, a.PerTryTimeout, a.Attempts, a.IdleTimeout, a.BackOff.Base, a.BackOff.Max, b.further(a))
	if a.Reopen {
		meaning = append(meaning, "|reopen"...)
	}
	sum := sha256.Sum256(meaning)
	return fmt.Sprintf("%s.%s.%s.%s", route, a.Server, class, hex.EncodeToString(sum[:6]))
}

// further is what an action with a second server does.
func (b *builder) further(a Action) string {
	if a.Second == "" {
		return ""
	}
	return fmt.Sprintf("|%s|%s|%d", a.Second, b.paths[a.Second], a.Spread)
}

func outlier(o config.Outlier) Outlier {
	return Outlier{
		ConsecutiveFailures: uint32(o.ConsecutiveFailures), //nolint:gosec // 1 to 1000
		FailurePercent:      uint32(o.FailurePercentage),   //nolint:gosec // 1 to 100
		MinimumCalls:        uint32(o.MinimumCalls),        //nolint:gosec // 1 to 100000
		Interval:            time.Duration(o.Interval),
		EjectionTime:        time.Duration(o.EjectionTime),
		MaxEjectionTime:     time.Duration(o.MaxEjectionTime),
		MaxEjectedPercent:   uint32(*o.MaxEjected), //nolint:gosec // 0 to 100
	}
}
