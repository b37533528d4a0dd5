package api

import (
	"context"
	"errors"
	"log/slog"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// PurgeCache implements adminv1connect.AdminHandler.
func (s *rpcs) PurgeCache(ctx context.Context, request *adminv1.PurgeCacheRequest) (*adminv1.PurgeCacheResponse, error) {
	w := write{method: "PurgeCache", author: request.GetAuthor(), reason: request.GetReason()}
	log := func(ctx context.Context, c *call, w write, answer *adminv1.PurgeCacheResponse, err error) {
		attrs := []slog.Attr{
			slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote),
			slog.String("reason", w.reason), slog.String("server", request.GetServer()), slog.String("tool", request.GetTool()),
		}
		if err != nil {
			s.logRefused(ctx, attrs, err)
			return
		}
		s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: remembered results purged", append(attrs, slog.Uint64("serial", answer.GetSerial()))...)
	}
	return change(ctx, s, w, checkPurgeCache(request), func(author string) (*adminv1.PurgeCacheResponse, error) {
		return s.backend.PurgeCache(ctx, request, author)
	}, log)
}

func checkPurgeCache(r *adminv1.PurgeCacheRequest) error {
	errs := []error{checkReason(r.GetReason())}
	if r.GetServer() == "" && r.GetTool() != "" {
		errs = append(errs, errors.New("server is missing: a tool is one of a server"))
	}
	for field, value := range map[string]string{"server": r.GetServer(), "tool": r.GetTool()} {
		if value != "" {
			errs = append(errs, checkWord(field, value))
		}
	}
	return errors.Join(errs...)
}
