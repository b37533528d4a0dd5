package api

import (
	"context"
	"errors"
	"log/slog"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// Failback implements adminv1connect.AdminHandler.
func (s *rpcs) Failback(ctx context.Context, request *adminv1.FailbackRequest) (*adminv1.FailbackResponse, error) {
	w := write{method: "Failback", author: request.GetAuthor(), reason: request.GetReason()}
	log := func(ctx context.Context, c *call, w write, response *adminv1.FailbackResponse, err error) {
		attrs := []slog.Attr{
			slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote),
			slog.String("reason", w.reason), slog.String("server", request.GetServer()), slog.String("region", request.GetRegion()),
		}
		if err != nil {
			s.logRefused(ctx, attrs, err)
			return
		}
		s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: failback", append(attrs, slog.Any("regions", response.GetRegions()))...)
	}
	return change(ctx, s, w, checkFailback(request), func(author string) (*adminv1.FailbackResponse, error) {
		return s.backend.Failback(ctx, request, author)
	}, log)
}

func checkFailback(r *adminv1.FailbackRequest) error {
	errs := []error{checkWord("server", r.GetServer()), checkReason(r.GetReason())}
	if r.GetRegion() != "" {
		errs = append(errs, checkWord("region", r.GetRegion()))
	}
	return errors.Join(errs...)
}

// Promote implements adminv1connect.AdminHandler.
func (s *rpcs) Promote(ctx context.Context, request *adminv1.PromoteRequest) (*adminv1.ApplyResponse, error) {
	w := write{method: "Promote", author: request.GetAuthor(), reason: request.GetReason(), dryRun: request.GetDryRun()}
	problem := errors.Join(checkWord("server", request.GetServer()), checkWord("region", request.GetRegion()), checkReason(request.GetReason()))
	return s.write(ctx, w, problem, func(author string) (*adminv1.ApplyResponse, error) {
		return s.backend.Promote(ctx, request, author)
	})
}
