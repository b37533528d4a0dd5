package decide

import (
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// headerPrefer may say how long the caller waits (RFC 7240, section 4.3).
const headerPrefer = "prefer"

// waits is how long the caller of a message waits for an answer, 0 where it does not say: what
// _meta["holdfast/timeoutMs"] or the preference "wait" tells, the shorter of both. MCP itself has no word for it.
func waits(h Header, m *wire.Message) time.Duration {
	wait := m.Timeout
	for _, line := range h.Values(headerPrefer) {
		for preference := range strings.SplitSeq(line, ",") {
			// Parameters after a semicolon mean nothing for this preference.
			preference, _, _ = strings.Cut(preference, ";")
			name, value, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
			if told := time.Duration(seconds) * time.Second; err == nil && told > 0 && (wait == 0 || told < wait) { //nolint:gosec // 31 bits
				wait = told
			}
		}
	}
	return wait
}

// Deadline is when the caller of a call that was decided at now stops waiting for the first whole message:
// when the action's timeout is over, or earlier where the caller said so. It is the zero time where nothing ends the wait.
func (d *Decision) Deadline(now time.Time) time.Time {
	limit := d.patience()
	if limit <= 0 {
		return time.Time{}
	}
	return now.Add(limit)
}

// patience is the action's timeout, or how long the caller waits where that is less; 0 where nothing ends the wait.
func (d *Decision) patience() time.Duration {
	limit := d.Action.GetTimeout().AsDuration()
	if limit > 0 && d.Wait > 0 {
		return min(limit, d.Wait)
	}
	return limit
}
