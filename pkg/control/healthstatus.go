package control

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/api"
	"github.com/holdfast-mcp/holdfast/pkg/outlier"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/incident"
	"github.com/holdfast-mcp/holdfast/pkg/outlier/probe"
)

// GetHealth gives what is measured of a server; see holdfast.admin.v1.Admin.GetHealth.
func (b *Backend) GetHealth(_ context.Context, request *adminv1.GetHealthRequest) (*adminv1.GetHealthResponse, error) {
	m := b.plane.monitor
	if m == nil {
		return nil, api.ErrNotMeasured
	}
	all, ok := m.Statuses(request.GetServer())
	if !ok || len(all) != 1 {
		return nil, fmt.Errorf("%w: there is no server %q", api.ErrUnknown, request.GetServer())
	}
	return healthMessage(all[0]), nil
}

// GetReport gives a month; see holdfast.admin.v1.Admin.GetReport.
func (b *Backend) GetReport(_ context.Context, request *adminv1.GetReportRequest) (*adminv1.GetReportResponse, error) {
	m := b.plane.monitor
	if m == nil {
		return nil, api.ErrNotMeasured
	}
	month := request.GetMonth()
	if month == "" {
		month = incident.Month(b.plane.now())
	}
	out := &adminv1.GetReportResponse{}
	for _, r := range m.Reports(request.GetServer(), month) {
		out.Reports = append(out.Reports, reportMessage(r))
	}
	for _, i := range m.Incidents(request.GetServer()) {
		if incident.Month(i.Began) == month {
			out.Incidents = append(out.Incidents, incidentMessage(i))
		}
	}
	return out, nil
}

func healthMessage(s outlier.Status) *adminv1.GetHealthResponse {
	out := &adminv1.GetHealthResponse{Server: s.Server, Report: reportMessage(s.Report)}
	for _, r := range s.Regions {
		region := &adminv1.RegionHealth{
			Name: r.Region, Away: count(r.Away), Why: r.Why, Calls: r.Pace.Calls, P95Seconds: r.Pace.P95.Seconds(), UsualP95Seconds: r.Pace.Usual.Seconds(),
			FailingTools: r.Hurt.Tools, HurtAgents: count(r.Hurt.Agents), HeldSince: stamp(r.HeldSince), HeldWhy: r.HeldWhy,
		}
		for _, e := range r.Endpoints {
			region.Endpoints = append(region.Endpoints, measuredMessage(e))
		}
		out.Regions = append(out.Regions, region)
	}
	for _, a := range s.Acts {
		out.Actions = append(out.Actions, &adminv1.HealthAction{At: timestamppb.New(a.At), About: a.About, By: a.By, What: a.What})
	}
	for _, i := range s.Open {
		out.Incidents = append(out.Incidents, incidentMessage(i))
	}
	return out
}

func measuredMessage(e outlier.EndpointStatus) *adminv1.MeasuredEndpoint {
	out := &adminv1.MeasuredEndpoint{
		Name: e.Name, Address: e.Address, Score: e.Score.Value, Tier: e.Tier.String(), TierSince: stamp(e.Since),
		Layer: e.Layer, Detail: e.Detail, LayerSince: stamp(e.LayerSince), Given: e.Health.State.String(), Weight: count(e.Health.Weight),
		Good: e.Good, Failed: e.Failed, P95Seconds: e.P95.Seconds(),
	}
	for _, p := range e.Score.Parts {
		out.Parts = append(out.Parts, &adminv1.ScorePart{Name: string(p.Part), Value: p.Value, Weight: p.Weight, Missing: p.Missing})
	}
	for _, l := range e.Layers {
		out.Layers = append(out.Layers, layerMessage(l))
	}
	return out
}

func layerMessage(l probe.Standing) *adminv1.ProbeLayer {
	return &adminv1.ProbeLayer{
		Name: string(l.Layer), Outcome: l.Outcome.String(), Since: stamp(l.Since), Last: stamp(l.Last.Began), TookSeconds: l.Last.Took.Seconds(), Detail: l.Last.Detail,
	}
}

func incidentMessage(i incident.Incident) *adminv1.Incident {
	out := &adminv1.Incident{
		Id: count(i.ID), Server: i.Server, Region: i.Region, Endpoints: i.Endpoints, Layer: i.Layer, Detail: i.Detail, Tier: i.Tier,
		Began: stamp(i.Began), Detected: stamp(i.Detected), Mitigated: stamp(i.Mitigated), Escalated: stamp(i.Escalated), Recovered: stamp(i.Recovered),
		Tools: i.Tools, Agents: count(i.Agents),
	}
	for _, a := range i.Actions {
		out.Actions = append(out.Actions, &adminv1.HealthAction{At: timestamppb.New(a.At), About: i.Region, By: a.By, What: a.What})
	}
	return out
}

func reportMessage(r incident.Report) *adminv1.MonthReport {
	return &adminv1.MonthReport{
		Server: r.Server, Month: r.Month, Answered: r.Calls.Answered, Degraded: r.Calls.Degraded, Failed: r.Calls.Failed,
		Availability: r.Availability, Promised: r.Promised, Budget: r.Budget, Incidents: count(r.Incidents), Open: count(r.Open), Escalated: count(r.Escalated),
		MttdSeconds: r.ToDetect, MttrSeconds: r.ToRestore, MttrAutomaticSeconds: r.ToRestoreAutomatic, MtbfSeconds: r.Between, Missed: r.Missed,
	}
}

// stamp of a time that may not have come.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
