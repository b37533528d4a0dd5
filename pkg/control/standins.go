package control

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mcp/holdfast/pkg/config"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/schemafit"
)

// maxMisfits bounds what is said of answers that do not fit.
const maxMisfits = 20

// misfits says which of the operators' answers clients would refuse, by the lists of tools that are known. Those
// answers are not given; better that somebody knows before they are needed. It refuses nothing: a server that has
// changed a schema must not keep its operators from changing something else.
func (p *Plane) misfits(r *revision.Revision) (out []string) {
	if r == nil {
		return nil
	}
	for _, s := range r.StandIns {
		schemas := p.catalog.OutputSchemas(s.Server)
		for _, tool := range slices.Sorted(maps.Keys(schemas)) {
			if len(schemas[tool]) == 0 || !s.For(tool) {
				continue
			}
			if err := schemafit.Check(schemas[tool], written(s.Answer)); err != nil {
				out = append(out, fmt.Sprintf("%s: the static answer is not given for tool %q of %s, since clients would refuse it: %v", s.Place, tool, s.Server, err))
			}
			if len(out) == maxMisfits {
				return append(out, "there may be more static answers that do not fit")
			}
		}
	}
	return out
}

func written(a config.StaticAnswer) schemafit.Answer {
	out := schemafit.Answer{IsError: a.IsError}
	if a.StructuredContent != nil {
		out.StructuredContent = []byte(a.StructuredContent.JSON)
	}
	return out
}
