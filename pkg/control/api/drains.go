package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// maxDrainSessions is how long sessions of what is drained may go on.
const maxDrainSessions = 30 * 24 * time.Hour

// ListDrains implements adminv1connect.AdminHandler.
func (s *rpcs) ListDrains(ctx context.Context, request *adminv1.ListDrainsRequest) (*adminv1.ListDrainsResponse, error) {
	return read(ctx, request, nil, s.backend.ListDrains)
}

// SetDrain implements adminv1connect.AdminHandler.
func (s *rpcs) SetDrain(ctx context.Context, request *adminv1.SetDrainRequest) (*adminv1.SetDrainResponse, error) {
	w := write{method: "SetDrain", author: request.GetAuthor(), reason: request.GetReason()}
	log := func(ctx context.Context, c *call, w write, _ *adminv1.SetDrainResponse, err error) {
		s.logDrain(ctx, c, w, request, err)
	}
	return change(ctx, s, w, checkSetDrain(request), func(author string) (*adminv1.SetDrainResponse, error) {
		return s.backend.SetDrain(ctx, request, author)
	}, log)
}

func (s *rpcs) logDrain(ctx context.Context, c *call, w write, request *adminv1.SetDrainRequest, err error) {
	attrs := []slog.Attr{
		slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote),
		slog.String("reason", w.reason), slog.String("server", request.GetServer()), slog.String("target", request.GetTarget()),
		slog.Bool("undrain", request.GetUndrain()), slog.Bool("force", request.GetForce()),
	}
	if request.GetUntil() != nil {
		attrs = append(attrs, slog.Time("until", request.GetUntil().AsTime()))
	}
	if err != nil {
		s.logRefused(ctx, attrs, err)
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: drain", attrs...)
}

func checkSetDrain(r *adminv1.SetDrainRequest) error {
	errs := []error{checkWord("target", r.GetTarget()), checkReason(r.GetReason())}
	if r.GetServer() != "" {
		errs = append(errs, checkWord("server", r.GetServer()))
	}
	if r.GetUndrain() && (r.GetUntil() != nil || r.GetSessions() != nil || r.GetForce()) {
		errs = append(errs, errors.New("undrain stands alone: until, sessions and force are for draining"))
	}
	if r.GetUntil() != nil {
		errs = append(errs, r.GetUntil().CheckValid())
	}
	if d := r.GetSessions(); d != nil {
		if err := d.CheckValid(); err != nil {
			errs = append(errs, err)
		} else if d.AsDuration() < 0 || d.AsDuration() > maxDrainSessions {
			errs = append(errs, fmt.Errorf("sessions: %s is not within 0s to %s", d.AsDuration(), maxDrainSessions))
		}
	}
	return errors.Join(errs...)
}
