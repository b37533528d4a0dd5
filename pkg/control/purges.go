package control

import (
	"context"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/outcomes"
)

// PurgeCache has all processors forget what they remember; see holdfast.admin.v1.Admin.PurgeCache. Errors are
// those that api.CodeOf knows; after any of them nothing has changed.
func (b *Backend) PurgeCache(_ context.Context, request *adminv1.PurgeCacheRequest, author string) (*adminv1.PurgeCacheResponse, error) {
	p := b.plane
	if err := p.checkBreaker(outcomes.Key{Server: request.GetServer(), Tool: request.GetTool()}, false); err != nil {
		return nil, err
	}
	serial, err := p.outcomes.Purge(request.GetServer(), request.GetTool(), operatorPrefix+author, request.GetReason())
	if err != nil {
		return nil, err
	}
	return &adminv1.PurgeCacheResponse{Serial: serial, Processors: p.outcomes.Processors()}, nil
}
