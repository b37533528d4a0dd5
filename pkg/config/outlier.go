package config

import (
	"strconv"
	"time"
)

// Defaults of Outlier and RetryBudget.
const (
	// DefaultConsecutiveFailures is Outlier.ConsecutiveFailures: four slow calls of one tool at a time leave their endpoint.
	DefaultConsecutiveFailures = 5
	// DefaultFailurePercentage is Outlier.FailurePercentage.
	DefaultFailurePercentage Percent = 20
	// DefaultMinimumCalls is Outlier.MinimumCalls.
	DefaultMinimumCalls = 10
	// DefaultOutlierInterval is Outlier.Interval.
	DefaultOutlierInterval = Duration(2 * time.Second)
	// DefaultEjectionTime is Outlier.EjectionTime.
	DefaultEjectionTime = Duration(3 * time.Second)
	// DefaultMaxEjectionTime is Outlier.MaxEjectionTime, unless the first ejection is longer.
	DefaultMaxEjectionTime = Duration(time.Minute)
	// DefaultBudgetRatio is RetryBudget.Ratio.
	DefaultBudgetRatio Percent = 20
	// DefaultBudgetFloor is RetryBudget.Floor.
	DefaultBudgetFloor = 100
)

const whole Percent = 100

func (o *Outlier) applyDefaults(regions []Region) {
	setDefault(&o.ConsecutiveFailures, DefaultConsecutiveFailures)
	setDefault(&o.FailurePercentage, DefaultFailurePercentage)
	setDefault(&o.MinimumCalls, DefaultMinimumCalls)
	setDefault(&o.Interval, DefaultOutlierInterval)
	setDefault(&o.EjectionTime, DefaultEjectionTime)
	setDefault(&o.MaxEjectionTime, max(DefaultMaxEjectionTime, o.EjectionTime))
	if o.MaxEjected == nil {
		endpoints := 0
		for _, r := range regions {
			endpoints += len(r.Endpoints)
		}
		share := allButOne(endpoints)
		o.MaxEjected = &share
	}
}

// allButOne is the least whole percentage of n that n-1 do not exceed, and n do.
func allButOne(n int) Percent {
	if n < 2 {
		return 0
	}
	return min(whole-1, Percent((100*(n-1)+n-1)/n))
}

func (b *RetryBudget) applyDefaults() {
	if b.Ratio == nil {
		ratio := DefaultBudgetRatio
		b.Ratio = &ratio
	}
	if b.Floor == nil {
		floor := DefaultBudgetFloor
		b.Floor = &floor
	}
}

// count prints and compares as other ranges do.
type count int

func (c count) String() string { return strconv.Itoa(int(c)) }

func checkOutlierValues(s loaded[MCPServer]) {
	o, doc := s.value.Spec.Outlier, s.document
	rangeAt(doc, "spec.outlier.consecutiveFailures", count(o.ConsecutiveFailures), 1, maxConsecutive)
	rangeAt(doc, "spec.outlier.failurePercentage", o.FailurePercentage, 1, whole)
	rangeAt(doc, "spec.outlier.minimumCalls", count(o.MinimumCalls), 1, maxMinimumCalls)
	rangeAt(doc, "spec.outlier.interval", o.Interval, minCheckInterval, maxCheckInterval)
	rangeAt(doc, "spec.outlier.ejectionTime", o.EjectionTime, minEjection, maxFirstEjection)
	rangeAt(doc, "spec.outlier.maxEjectionTime", o.MaxEjectionTime, minEjection, maxEjection)
	if o.MaxEjected != nil {
		rangeAt(doc, "spec.outlier.maxEjected", *o.MaxEjected, 0, whole)
	}
	if b := s.value.Spec.RetryBudget; b.Ratio != nil {
		rangeAt(doc, "spec.retryBudget.ratio", *b.Ratio, 0, whole)
	}
	if b := s.value.Spec.RetryBudget; b.Floor != nil {
		rangeAt(doc, "spec.retryBudget.floor", count(*b.Floor), 0, maxBudgetFloor)
	}
}

// checkOutlier checks the ejection times together, defaults in place.
func checkOutlier(s loaded[MCPServer]) {
	o := s.value.Spec.Outlier
	if s.clean("spec.outlier") && o.EjectionTime > o.MaxEjectionTime {
		s.report("spec.outlier.maxEjectionTime", "", "%s is shorter than the ejectionTime, %s%s",
			o.MaxEjectionTime, o.EjectionTime, s.orDefault("spec.outlier.ejectionTime"))
	}
}
