package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// ListBreakers implements adminv1connect.AdminHandler.
func (s *rpcs) ListBreakers(ctx context.Context, request *adminv1.ListBreakersRequest) (*adminv1.ListBreakersResponse, error) {
	problem := errors.Join(checkLength("server", request.GetServer(), maxNameBytes),
		checkLength("tool", request.GetTool(), maxNameBytes), checkLength("region", request.GetRegion(), maxNameBytes))
	return read(ctx, request, problem, s.backend.ListBreakers)
}

// SetBreaker implements adminv1connect.AdminHandler.
func (s *rpcs) SetBreaker(ctx context.Context, request *adminv1.SetBreakerRequest) (*adminv1.SetBreakerResponse, error) {
	w := write{method: "SetBreaker", author: request.GetAuthor(), reason: request.GetReason()}
	log := func(ctx context.Context, c *call, w write, _ *adminv1.SetBreakerResponse, err error) {
		s.logHold(ctx, c, w, request, err)
	}
	return change(ctx, s, w, checkSetBreaker(request), func(author string) (*adminv1.SetBreakerResponse, error) {
		return s.backend.SetBreaker(ctx, request, author)
	}, log)
}

func (s *rpcs) logHold(ctx context.Context, c *call, w write, request *adminv1.SetBreakerRequest, err error) {
	attrs := []slog.Attr{
		slog.String("method", w.method), slog.String("author", w.author), slog.String("by", c.by), slog.String("remote", c.remote),
		slog.String("reason", w.reason), slog.String("server", request.GetServer()), slog.String("tool", request.GetTool()),
		slog.String("region", request.GetRegion()), slog.String("hold", HoldWord(request.GetHold())),
	}
	if request.GetUntil() != nil {
		attrs = append(attrs, slog.Time("until", request.GetUntil().AsTime()))
	}
	if err != nil {
		s.logRefused(ctx, attrs, err)
		return
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "admin API: breaker", attrs...)
}

// HoldWord is the word for people: open, closed or auto.
func HoldWord(h adminv1.BreakerHold) string {
	return strings.ToLower(strings.TrimPrefix(h.String(), "BREAKER_HOLD_"))
}

func checkSetBreaker(r *adminv1.SetBreakerRequest) error {
	errs := []error{
		checkWord("server", r.GetServer()), checkWord("tool", r.GetTool()), checkReason(r.GetReason()),
	}
	if r.GetRegion() != "" {
		errs = append(errs, checkWord("region", r.GetRegion()))
	}
	switch r.GetHold() {
	case adminv1.BreakerHold_BREAKER_HOLD_OPEN, adminv1.BreakerHold_BREAKER_HOLD_CLOSED:
		if r.GetUntil() != nil {
			errs = append(errs, r.GetUntil().CheckValid())
		}
	case adminv1.BreakerHold_BREAKER_HOLD_AUTO:
		if r.GetUntil() != nil {
			errs = append(errs, errors.New("until: leaving a breaker to the processors has no end"))
		}
	default:
		errs = append(errs, errors.New("hold is missing: open, closed or auto"))
	}
	return errors.Join(errs...)
}

// checkWord is for a name that is kept and told to all processors.
func checkWord(field, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is missing", field)
	case !utf8.ValidString(value), strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%s has characters that cannot be printed", field)
	default:
		return checkLength(field, value, maxNameBytes)
	}
}
