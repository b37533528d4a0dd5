package incident

import (
	"slices"
	"time"
)

// Targets that reports are held to.
const (
	// TargetDetect is for the mean time to detect.
	TargetDetect = 2 * time.Minute
	// TargetRestore is for the mean time to restore service, TargetAutomatic for that of incidents that needed nobody.
	TargetRestore   = 30 * time.Minute
	TargetAutomatic = time.Minute
)

// Report is what a server's callers got in one month.
type Report struct {
	Server string `json:"server"`
	// Month such as 2026-11, in UTC.
	Month string `json:"month"`
	// Calls as callers saw them end. Availability is the share that was answered, be it by something remembered; 1 without calls.
	Calls        Calls   `json:"calls"`
	Availability float64 `json:"availability"`
	// Promised availability, 0 where none is. Budget is the share of what may fail that is left, below 0 where more has failed; 1
	// where nothing is promised.
	Promised float64 `json:"promised,omitzero"`
	Budget   float64 `json:"budget"`
	// Incidents that began in the month, Open of which are not over, and Escalated of which needed somebody.
	Incidents int `json:"incidents"`
	Open      int `json:"open,omitzero"`
	Escalated int `json:"escalated,omitzero"`
	// ToDetect, ToRestore and ToRestoreAutomatic are means (MTTD, MTTR), Between that from the end of one to the beginning of the
	// next (MTBF), in seconds; 0 where there is nothing to take a mean of.
	ToDetect           float64 `json:"mttd_seconds,omitzero"`
	ToRestore          float64 `json:"mttr_seconds,omitzero"`
	ToRestoreAutomatic float64 `json:"mttr_automatic_seconds,omitzero"`
	Between            float64 `json:"mtbf_seconds,omitzero"`
	// Missed names the targets that were not met.
	Missed []string `json:"missed,omitzero"`
}

// Of reports on a server in a month. promised is its availability, 0 where none is promised.
func (l *Log) Of(server, month string, promised float64) Report {
	r := Report{Server: server, Month: month, Calls: l.CallsOf(server, month), Availability: 1, Promised: promised, Budget: 1}
	good, bad := r.Calls.Answered+r.Calls.Degraded, r.Calls.Failed
	if total := good + bad; total > 0 {
		r.Availability = float64(good) / float64(total)
		if promised > 0 && promised < 1 {
			r.Budget = 1 - float64(bad)/(float64(total)*(1-promised))
		}
	}
	var those []Incident
	for _, i := range l.Incidents(server) {
		if Month(i.Began) == month {
			those = append(those, i)
		}
	}
	slices.SortFunc(those, byBegan)
	r.times(those)
	r.missed()
	return r
}

func (r *Report) times(those []Incident) {
	var detect, restore, automatic, between mean
	var ended time.Time
	for _, i := range those {
		r.Incidents++
		if i.Open() {
			r.Open++
		}
		if !i.Automatic() {
			r.Escalated++
		}
		detect.add(i.ToDetect())
		if d, ok := i.ToRestore(); ok {
			restore.add(d)
			if i.Automatic() {
				automatic.add(d)
			}
		}
		if !ended.IsZero() && i.Began.After(ended) {
			between.add(i.Began.Sub(ended))
		}
		if i.Recovered.After(ended) {
			ended = i.Recovered
		}
	}
	r.ToDetect, r.ToRestore, r.ToRestoreAutomatic, r.Between = detect.seconds(), restore.seconds(), automatic.seconds(), between.seconds()
}

func (r *Report) missed() {
	for _, t := range []struct {
		name      string
		is, bound float64
	}{
		{"time to detect", r.ToDetect, TargetDetect.Seconds()},
		{"time to restore", r.ToRestore, TargetRestore.Seconds()},
		{"time to restore by itself", r.ToRestoreAutomatic, TargetAutomatic.Seconds()},
	} {
		if t.is > t.bound {
			r.Missed = append(r.Missed, t.name)
		}
	}
	if r.Promised > 0 && r.Availability < r.Promised {
		r.Missed = append(r.Missed, "availability")
	}
}

// mean of times.
type mean struct {
	sum time.Duration
	n   int
}

func (m *mean) add(d time.Duration) { m.sum, m.n = m.sum+d, m.n+1 }

func (m *mean) seconds() float64 {
	if m.n == 0 {
		return 0
	}
	return m.sum.Seconds() / float64(m.n)
}
