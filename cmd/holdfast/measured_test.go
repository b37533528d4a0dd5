package main

import (
	"encoding/json"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// someHealth is of a server of which one endpoint is shed, with hostile words.
func someHealth() *adminv1.GetHealthResponse {
	return &adminv1.GetHealthResponse{
		Server: "orders",
		Regions: []*adminv1.RegionHealth{
			{
				Name: "asia-south1", Away: 75, Why: "none of its endpoints is to get all its calls", Calls: 120, P95Seconds: 0.652, UsualP95Seconds: 0.041,
				FailingTools: []string{"get_order", "list_\x1b[31morders"}, HurtAgents: 3,
				Endpoints: []*adminv1.MeasuredEndpoint{{
					Name: "primary-mumbai", Address: "127.0.0.1:7101", Score: 42.4, Tier: "shedding", TierSince: minutesAgo(3), Layer: "http", Detail: "GET /health: status\n500",
					LayerSince: minutesAgo(4), Given: "healthy", Weight: 25, Good: 90, Failed: 30, P95Seconds: 0.652,
					Parts: []*adminv1.ScorePart{
						{Name: "response time", Value: 0, Weight: 50}, {Name: "error rate", Value: 10, Weight: 37.5}, {Name: "resources", Missing: true}, {Name: "staleness", Value: 100, Weight: 12.5},
					},
					Layers: []*adminv1.ProbeLayer{{Name: "tcp", Outcome: "good", TookSeconds: 0.002}, {Name: "http", Outcome: "failed", Detail: "GET /health: status 500"}},
				}},
			},
			{
				Name: "asia-south2",
				Endpoints: []*adminv1.MeasuredEndpoint{{
					Name: "standby-delhi", Address: "127.0.0.1:7102", Score: 100, Tier: "steady", Given: "healthy", Weight: 100,
					Parts: []*adminv1.ScorePart{{Value: 100, Weight: 40}, {Value: 100, Weight: 30}, {Value: 100, Weight: 20}, {Value: 100, Weight: 10}},
				}},
			},
		},
		Actions: []*adminv1.HealthAction{
			{At: minutesAgo(4), About: "asia-south1", By: "probes", What: "primary-mumbai is watched: http: GET /health: status 500"},
			{At: minutesAgo(3), About: "asia-south1", By: "tiers", What: "primary-mumbai is shedding: http: GET /health: status 500"},
		},
		Incidents: []*adminv1.Incident{someIncident()},
		Report: &adminv1.MonthReport{
			Server: "orders", Month: "2026-11", Answered: 99900, Degraded: 40, Failed: 60, Availability: 0.9994, Promised: 0.999, Budget: 0.4, Incidents: 2, MttdSeconds: 6, MttrSeconds: 31,
		},
	}
}

func someIncident() *adminv1.Incident {
	began := minutesAgo(4)
	return &adminv1.Incident{
		Id: 7, Server: "orders", Region: "asia-south1", Layer: "http", Detail: "GET /health: status 500", Tier: "shedding", Began: began, Detected: began, Mitigated: began,
		Tools: []string{"get_order"}, Agents: 3,
	}
}

func measuredStatus() *plane {
	return &plane{statuses: []*adminv1.StatusResponse{goodStatus()}, health: someHealth()}
}

func someReport() *plane {
	return &plane{report: &adminv1.GetReportResponse{
		Reports: []*adminv1.MonthReport{
			{Server: "inventory", Month: "2026-11", Availability: 1, Budget: 1},
			{
				Server: "orders", Month: "2026-11", Answered: 99000, Degraded: 40, Failed: 960, Availability: 0.9904, Promised: 0.999, Budget: -8.6, Incidents: 2, Open: 1, Escalated: 1,
				MttdSeconds: 6.4, MttrSeconds: 2000, MttrAutomaticSeconds: 0.8, MtbfSeconds: 86400, Missed: []string{"time to restore", "availability"},
			},
		},
		Incidents: []*adminv1.Incident{someIncident()},
	}}
}

var measuredLines = []apiLine{
	{"status-measured", measuredStatus, "", []string{"status", "orders"}},
	{"report", someReport, "", []string{"report"}},
	{"report-none", func() *plane { return &plane{report: &adminv1.GetReportResponse{}} }, "", []string{"report"}},
	{"report-month", func() *plane {
		return &plane{refuse: refused(connect.CodeInvalidArgument, `month: "november" is not a month such as 2026-11`)}
	}, "", []string{"report", "--month", "november"}},
}

// TestMeasuredAsJSON: programs read what people do.
func TestMeasuredAsJSON(t *testing.T) {
	measured := measuredStatus()
	startPlane(t, measured)
	var status struct {
		Health struct {
			Regions []struct {
				Endpoints []struct {
					Score       float64
					Tier, Layer string
				}
			}
		}
	}
	got := ask(t, measured, "", "status", "orders", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &status); err != nil {
		t.Fatalf("%v: %s", err, got.text())
	}
	if e := status.Health.Regions[0].Endpoints[0]; e.Score != 42.4 || e.Tier != "shedding" || e.Layer != "http" {
		t.Errorf("%+v", e)
	}
	p := someReport()
	startPlane(t, p)
	got = ask(t, p, "", "report", "orders", "--month", "2026-11", "-o", "json")
	if !strings.Contains(got.stdout, `"mttdSeconds": 6.4`) || len(p.reported) != 1 || p.reported[0].GetMonth() != "2026-11" || p.reported[0].GetServer() != "orders" {
		t.Errorf("asked %v: %s", p.reported, got.text())
	}
}
