package catalog

import (
	"bytes"
	"sync"

	policyv1 "github.com/holdfast-mcp/holdfast/api/policy/v1"
	"github.com/holdfast-mcp/holdfast/pkg/schemafit"
)

// maxFits bounds the answers of operators that are known to fit or not.
const maxFits = 4096

// fits remembers what was found out: an answer is looked at once for each schema that its tool is listed
// with. It is safe for concurrent use.
type fits struct {
	mu    sync.Mutex
	known map[fitKey]fit
}

type fitKey struct {
	server, tool string
	answer       *policyv1.StaticAnswer
}

type fit struct {
	schema []byte
	err    error
}

// Fits says why clients would refuse an answer that an operator has written for a tool, nil where they
// would not: the tool has no output schema as far as is known, or one that the answer fits.
func (s *Store) Fits(server, tool string, answer *policyv1.StaticAnswer) error {
	schema, _ := s.OutputSchema(server, tool)
	if len(schema) == 0 {
		return nil
	}
	key := fitKey{server, tool, answer}
	s.fits.mu.Lock()
	defer s.fits.mu.Unlock()
	if found, ok := s.fits.known[key]; ok && bytes.Equal(found.schema, schema) {
		return found.err
	}
	if s.fits.known == nil || len(s.fits.known) >= maxFits {
		s.fits.known = map[fitKey]fit{}
	}
	err := schemafit.Check(schema, schemafit.Answer{StructuredContent: answer.GetStructuredContent(), IsError: answer.GetIsError()})
	s.fits.known[key] = fit{schema, err}
	return err
}
