package degrade

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// staleTTL is how long clients may keep a stale list before they ask again.
const staleTTL = 5 * time.Second

// Stale answers call with a remembered result: the entry's bytes with the caller's id,
// _meta["holdfast/degraded"] spliced in, and in the modern revision a ttlMs of 5 s at
// most, so that clients soon ask again. age is the time since the entry's as_of; reason
// is why the server's own answer is missing; withheld are tools that were taken out of the entry. It fails where the call has no id or the
// entry's result is not an object.
func Stale(call *policyv1.CallContext, entry *policyv1.CatalogEntry, age time.Duration, reason Code, withheld ...string) (Answer, error) {
	if len(call.GetId()) == 0 {
		return Answer{}, errors.New("answering with a stale list: the request has no id")
	}
	result := entry.GetResult()
	if !wire.Valid(result) {
		// Pasted into a body unchecked, it could bring members of its own.
		return Answer{}, fmt.Errorf("answering %q with a stale list: the result is not JSON", entry.GetKey())
	}
	if call.GetRevision() == ModernRevision {
		var err error
		if result, err = wire.SetMember(result, "ttlMs", shortTTL(result)); err != nil {
			return Answer{}, fmt.Errorf("answering %q with a stale list: %w", entry.GetKey(), err)
		}
	}
	body := append([]byte(`{"jsonrpc":"2.0","id":`), call.GetId()...)
	body = append(body, `,"result":`...)
	body = append(body, result...)
	body = append(body, '}')
	body, err := wire.SpliceMeta(body, names.MetaDegraded, staleMark(entry, age, reason, withheld))
	if err != nil {
		return Answer{}, fmt.Errorf("answering %q with a stale list: %w", entry.GetKey(), err)
	}
	return Answer{
		Status:  http.StatusOK,
		Headers: headers(SourceStale, &Cause{}),
		Body:    body,
		Source:  SourceStale,
		Code:    reason,
	}, nil
}

// staleMark gives the age in whole seconds.
func staleMark(entry *policyv1.CatalogEntry, age time.Duration, reason Code, withheld []string) []byte {
	mark := append([]byte(`{"reason":`), appendString(nil, string(reason))...)
	mark = append(mark, `,"source":`...)
	mark = appendString(mark, SourceStale)
	mark = append(mark, `,"asOf":`...)
	mark = appendString(mark, entry.GetAsOf().AsTime().UTC().Format(time.RFC3339))
	mark = append(mark, `,"age":`...)
	mark = strconv.AppendInt(mark, int64(max(age, 0)/time.Second), 10)
	return append(appendWithheld(mark, withheld), '}')
}

// shortTTL is the result's own ttlMs where that is shorter than staleTTL.
func shortTTL(result []byte) []byte {
	limit := staleTTL.Milliseconds()
	if own, ok := wire.Find(result, "ttlMs"); ok {
		if value, err := strconv.ParseInt(string(own), 10, 64); err == nil && value >= 0 && value < limit {
			limit = value
		}
	}
	return strconv.AppendInt(nil, limit, 10)
}
