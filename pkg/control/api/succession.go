package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// Bounds of a canary.
const (
	minCanaryStep  = 10 * time.Second
	maxCanaryStep  = 30 * 24 * time.Hour
	maxCanaryShare = 50
)

// ListCanaries implements adminv1connect.AdminHandler.
func (s *rpcs) ListCanaries(ctx context.Context, request *adminv1.ListCanariesRequest) (*adminv1.ListCanariesResponse, error) {
	return read(ctx, request, nil, s.backend.ListCanaries)
}

// Succeed implements adminv1connect.AdminHandler.
func (s *rpcs) Succeed(ctx context.Context, request *adminv1.SucceedRequest) (*adminv1.SucceedResponse, error) {
	w := write{method: "Succeed", author: request.GetAuthor(), reason: request.GetReason()}
	log := func(ctx context.Context, c *call, w write, answer *adminv1.SucceedResponse, err error) {
		attrs := []slog.Attr{
			slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote), slog.String("reason", w.reason),
			slog.String("server", request.GetServer()), slog.String("step", request.GetStep().String()), slog.String("to", request.GetTo()),
		}
		if err != nil {
			s.logRefused(ctx, attrs, err)
			return
		}
		s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: successor", append(attrs, slog.Uint64("number", answer.GetRevision().GetNumber()))...)
	}
	return change(ctx, s, w, checkSucceed(request), func(author string) (*adminv1.SucceedResponse, error) {
		return s.backend.Succeed(ctx, request, author)
	}, log)
}

func checkSucceed(r *adminv1.SucceedRequest) error {
	errs := []error{checkWord("server", r.GetServer()), checkReason(r.GetReason())}
	start, names := false, false
	switch r.GetStep() {
	case adminv1.SuccessionStep_SUCCESSION_STEP_START:
		start, names = true, true
	case adminv1.SuccessionStep_SUCCESSION_STEP_SWITCH:
		names = true
	case adminv1.SuccessionStep_SUCCESSION_STEP_PROMOTE, adminv1.SuccessionStep_SUCCESSION_STEP_ABORT, adminv1.SuccessionStep_SUCCESSION_STEP_BACK:
	case adminv1.SuccessionStep_SUCCESSION_STEP_UNSPECIFIED:
		fallthrough
	default:
		errs = append(errs, errors.New("step: is missing"))
	}
	switch {
	case names:
		errs = append(errs, checkWord("to", r.GetTo()))
	case r.GetTo() != "":
		errs = append(errs, errors.New("to: is for what begins"))
	}
	if !start && (r.GetShare() != 0 || r.GetEach() != nil) {
		errs = append(errs, errors.New("share and each are for a canary that begins"))
	}
	if r.GetShare() > maxCanaryShare {
		errs = append(errs, fmt.Errorf("share: %d is not 1 to %d hundredths", r.GetShare(), maxCanaryShare))
	}
	if d := r.GetEach(); d != nil {
		if err := d.CheckValid(); err != nil {
			errs = append(errs, err)
		} else if d.AsDuration() < minCanaryStep || d.AsDuration() > maxCanaryStep {
			errs = append(errs, fmt.Errorf("each: %s is not within %s to %s", d.AsDuration(), minCanaryStep, maxCanaryStep))
		}
	}
	return errors.Join(errs...)
}
