package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// GetHealth implements adminv1connect.AdminHandler.
func (s *rpcs) GetHealth(ctx context.Context, request *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error) {
	problem := checkLength("server", request.GetServer(), maxNameBytes)
	if request.GetServer() == "" {
		problem = errors.New("server: is missing")
	}
	return read(ctx, request, problem, s.backend.GetHealth)
}

// GetReport implements adminv1connect.AdminHandler.
func (s *rpcs) GetReport(ctx context.Context, request *adminv1.GetReportRequest) (*adminv1.GetReportResponse, error) {
	problem := errors.Join(checkLength("server", request.GetServer(), maxNameBytes), checkMonth(request.GetMonth()))
	return read(ctx, request, problem, s.backend.GetReport)
}

func checkMonth(month string) error {
	if month == "" {
		return nil
	}
	const layout = "2006-01"
	if at, err := time.Parse(layout, month); err != nil || at.Format(layout) != month {
		return fmt.Errorf("month: %q is not a month such as 2026-11", month[:min(len(month), len("2006-01-02"))])
	}
	return nil
}
