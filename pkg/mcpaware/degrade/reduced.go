package degrade

import (
	"errors"
	"fmt"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
	"github.com/holdfast-mcp/holdfast/pkg/names"
)

// SourceReduced marks a list that lacks what cannot be called.
const SourceReduced = "reduced"

// maxWithheld bounds how many of them the mark names.
const maxWithheld = 100

// Reduced marks a server's own answer to tools/list of which some tools were taken out: in
// _meta["holdfast/degraded"], and in the modern revision by a ttlMs of 5 s at most, so that clients soon ask
// again. All other bytes are kept. It fails where answer is not a response with an object for a result.
func Reduced(answer []byte, revision string, withheld []string) ([]byte, error) {
	result, ok := wire.Find(answer, "result")
	if !ok {
		return nil, errors.New("marking a reduced list: there is no result")
	}
	if revision == ModernRevision {
		short, err := wire.SetMember(result, "ttlMs", shortTTL(result))
		if err == nil {
			answer, err = wire.SetMember(answer, "result", short)
		}
		if err != nil {
			return nil, fmt.Errorf("marking a reduced list: %w", err)
		}
	}
	mark := append([]byte(`{"reason":`), appendString(nil, string(ServiceUnavailable))...)
	mark = append(appendWithheld(append(mark, `,"source":"reduced"`...), withheld), '}')
	return wire.SpliceMeta(answer, names.MetaDegraded, mark)
}

// appendWithheld appends a member with the names of tools that are left out, if there are any.
func appendWithheld(dst []byte, withheld []string) []byte {
	for i, name := range withheld[:min(len(withheld), maxWithheld)] {
		sep := `,`
		if i == 0 {
			sep = `,"withheld":[`
		}
		dst = appendString(append(dst, sep...), name)
	}
	if len(withheld) > 0 {
		dst = append(dst, ']')
	}
	return dst
}
