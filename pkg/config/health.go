package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Defaults of Probes, Tiers, Score and Shift.
const (
	// DefaultProbeFailures is Probe.Failures, DefaultProbeSuccesses Probe.Successes.
	DefaultProbeFailures  = 2
	DefaultProbeSuccesses = 2
	// DefaultMetricsPath is MetricsProbe.Path, DefaultCPUMetric MetricsProbe.CPU.
	DefaultMetricsPath  = "/metrics"
	DefaultCPUMetric    = "process_cpu_seconds_total"
	DefaultMemoryMetric = "process_resident_memory_bytes"
	// DefaultPanicLimit is Tiers.PanicLimit, and the share that may be taken out of a region that is the last.
	DefaultPanicLimit Percent = 50
	// DefaultLowScore is Tiers.LowScore.
	DefaultLowScore Percent = 50
	// DefaultSlowdown is Shift.Slowdown.
	DefaultSlowdown = 3
	// DefaultShift is Shift.Callers: so few stay that their calls are not among the slowest twentieth of all.
	DefaultShift Percent = 98
	// DefaultShiftCalls is Shift.MinimumCalls.
	DefaultShiftCalls = 20
)

// Bounds on them.
const (
	maxProbeInterval = Duration(time.Hour)
	maxProbeRetries  = 5
	maxProbeRow      = 100
	maxCores         = 1024
	maxMetricBytes   = 256
	maxQueryBytes    = 64 << 10
	maxStaleness     = Duration(day)
	minStaleness     = Duration(time.Second)
	minTier          = Duration(100 * time.Millisecond)
	maxPromote       = Duration(7 * day)
	minSlowdown      = 2
	maxSlowdown      = 100
	minErrorRate     = Objective(1)
	maxErrorRate     = Objective(100_000)
)

func (t *UpstreamTLS) applyDefaults() {
	if t != nil {
		setDefault(&t.CA, DefaultCA)
	}
}

func (p *Probes) applyDefaults() {
	for _, one := range []struct {
		probe             *Probe
		interval, timeout time.Duration
	}{
		{&p.TCP, 5 * time.Second, time.Second},
		{&p.TLS, 10 * time.Second, 2 * time.Second},
		{&p.HTTP, 10 * time.Second, 2 * time.Second},
		{&p.Handshake, 30 * time.Second, 5 * time.Second},
		{&p.List, time.Minute, 5 * time.Second},
	} {
		setDefault(&one.probe.Interval, Duration(one.interval))
		setDefault(&one.probe.Timeout, min(Duration(one.timeout), one.probe.Interval))
		setDefault(&one.probe.Failures, DefaultProbeFailures)
		setDefault(&one.probe.Successes, DefaultProbeSuccesses)
	}
	if q := p.Query; q != nil {
		setDefault(&q.Arguments, "{}")
		setDefault(&q.Interval, Duration(30*time.Second))
		setDefault(&q.MaxLatency, min(Duration(5*time.Second), q.Interval))
		setDefault(&q.Failures, DefaultProbeFailures)
		setDefault(&q.Successes, DefaultProbeSuccesses)
	}
	if m := p.Metrics; m != nil {
		setDefault(&m.Path, DefaultMetricsPath)
		setDefault(&m.CPU, DefaultCPUMetric)
		setDefault(&m.Cores, 1)
		if m.MemoryLimit > 0 {
			setDefault(&m.Memory, DefaultMemoryMetric)
		}
		setDefault(&m.Interval, Duration(15*time.Second))
		setDefault(&m.Timeout, min(Duration(2*time.Second), m.Interval))
		setDefault(&m.Failures, DefaultProbeFailures)
	}
}

func setPercent(field **Percent, value Percent) {
	if *field == nil {
		*field = &value
	}
}

func (s *Score) applyDefaults() {
	r := &s.ResponseTime
	setPercent(&r.Weight, 40)
	setDefault(&r.Target, max(min(Duration(100*time.Millisecond), orMax(r.Critical)/5), minTimeout))
	setDefault(&r.Critical, min(5*r.Target, maxProbeInterval))
	e := &s.ErrorRate
	setPercent(&e.Weight, 30)
	if e.Critical > 0 {
		setDefault(&e.Target, max(e.Critical/20, minErrorRate))
	}
	setDefault(&e.Target, Objective(objectiveScale/10))
	setDefault(&e.Critical, min(20*e.Target, maxErrorRate))
	setPercent(&s.Resources.Weight, 20)
	setDefault(&s.Resources.CPU, 95)
	setDefault(&s.Resources.Memory, 90)
	setPercent(&s.Staleness.Weight, 10)
	setDefault(&s.Staleness.Critical, Duration(5*time.Minute))
}

// orMax is d, or where nothing is written a time that bounds nothing.
func orMax(d Duration) Duration {
	if d > 0 {
		return d
	}
	return maxProbeInterval
}

func (t *Tiers) applyDefaults() {
	setDefault(&t.Shed, Duration(30*time.Second))
	setDefault(&t.Eject, min(2*t.Shed, Duration(day)))
	setDefault(&t.Promote, min(5*t.Eject, maxPromote))
	setDefault(&t.MinHold, Duration(10*time.Second))
	setDefault(&t.MaxHold, max(Duration(5*time.Minute), t.MinHold))
	if t.Return == nil {
		back := Duration(30 * time.Second)
		t.Return = &back
	}
	setPercent(&t.LowScore, DefaultLowScore)
	setPercent(&t.PanicLimit, DefaultPanicLimit)
}

func (s *Shift) applyDefaults() {
	setDefault(&s.Slowdown, DefaultSlowdown)
	setDefault(&s.Callers, DefaultShift)
	setDefault(&s.MinimumCalls, DefaultShiftCalls)
}

func checkTLS(doc *document, path string, t *UpstreamTLS) {
	if t == nil {
		return
	}
	doc.textAt(path+".ca", t.CA, badFile)
	doc.textAt(path+".serverName", t.ServerName, badServerName)
	doc.textAt(path+".certificate", t.Certificate, badFile)
	doc.textAt(path+".key", t.Key, badFile)
	for _, pair := range [][2]string{{".certificate", ".key"}, {".key", ".certificate"}} {
		if doc.written(path+pair[0]) && !doc.written(path+pair[1]) && doc.clean(path+pair[0]) {
			doc.report(path+pair[0], "", "is of no use without a %s", pair[1][1:])
		}
	}
}

// badServerName is for a name in a certificate: a host name in lower case, or an IP address.
func badServerName(s string) (problem, hint string) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "", ""
	}
	host, _, hasPort := strings.Cut(s, ":")
	ok := host != "" && len(host) <= 253
	for label := range strings.SplitSeq(host, ".") {
		ok = ok && label != "" && len(label) <= maxNameBytes && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	}
	switch lower := strings.ToLower(host); {
	case ok && !hasPort:
		return "", ""
	case ok:
		return quote(s) + " is not a name in a certificate", meant(host)
	case lower != host:
		if p, _ := badServerName(lower); p == "" {
			return quote(s) + " is not a name in a certificate", meant(lower)
		}
	}
	return quote(s) + " is not a name in a certificate: a host name in lower case, or an IP address", ""
}

func checkProbes(doc *document, path string, p Probes) {
	for _, layer := range []struct {
		name  string
		probe Probe
	}{{"tcp", p.TCP}, {"tls", p.TLS}, {"http", p.HTTP}, {"handshake", p.Handshake}, {"list", p.List}} {
		at := path + "." + layer.name
		rangeAt(doc, at+".interval", layer.probe.Interval, minCheckInterval, maxProbeInterval)
		rangeAt(doc, at+".timeout", layer.probe.Timeout, minCheckTimeout, maxProbeInterval)
		checkRow(doc, at, layer.probe.Retries, layer.probe.Failures, layer.probe.Successes)
	}
	if q := p.Query; q != nil {
		at := path + ".query"
		rangeAt(doc, at+".interval", q.Interval, minCheckInterval, maxProbeInterval)
		rangeAt(doc, at+".maxLatency", q.MaxLatency, minCheckTimeout, maxProbeInterval)
		checkRow(doc, at, q.Retries, q.Failures, q.Successes)
		doc.textAt(at+".tool", q.Tool, badQueryTool)
		doc.textAt(at+".arguments", q.Arguments, badArguments)
	}
	if m := p.Metrics; m != nil {
		at := path + ".metrics"
		doc.textAt(at+".path", m.Path, badPath)
		rangeAt(doc, at+".port", number(m.Port), 1, maxPort)
		doc.textAt(at+".cpu", m.CPU, badMetric)
		doc.textAt(at+".memory", m.Memory, badMetric)
		rangeAt(doc, at+".cores", number(m.Cores), 1, maxCores)
		rangeAt(doc, at+".interval", m.Interval, minCheckInterval, maxProbeInterval)
		rangeAt(doc, at+".timeout", m.Timeout, minCheckTimeout, maxProbeInterval)
		rangeAt(doc, at+".failures", number(m.Failures), 1, maxProbeRow)
	}
}

func checkRow(doc *document, at string, retries, failures, successes int) {
	rangeAt(doc, at+".retries", number(retries), 0, maxProbeRetries)
	rangeAt(doc, at+".failures", number(failures), 1, maxProbeRow)
	rangeAt(doc, at+".successes", number(successes), 1, maxProbeRow)
}

func badQueryTool(s string) (problem, hint string) {
	if s == "" || len(s) > maxPatternBytes {
		return fmt.Sprintf("%s is not the name of a tool: 1 to %d bytes", quote(s), maxPatternBytes), ""
	}
	if strings.Contains(s, "*") {
		return quote(s) + " names several tools, and one is called", ""
	}
	return "", ""
}

func badArguments(s string) (problem, hint string) {
	var object map[string]any
	if len(s) > maxQueryBytes {
		return fmt.Sprintf("is longer than %d bytes", maxQueryBytes), ""
	}
	if err := json.Unmarshal([]byte(s), &object); err != nil || object == nil {
		return quote(s) + " is not a JSON object", `write it like '{"order_id": "1"}'`
	}
	return "", ""
}

func badMetric(s string) (problem, hint string) {
	ok := s != "" && len(s) <= maxMetricBytes
	for i, c := range []byte(s) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || i > 0 && c >= '0' && c <= '9')
	}
	if !ok {
		if name, _, labels := strings.Cut(s, "{"); labels {
			if p, _ := badMetric(name); p == "" {
				hint = meant(name)
			}
		}
		return quote(s) + " is not the name of a metric", hint
	}
	return "", ""
}

func checkScore(doc *document, path string, s Score) {
	for name, weight := range map[string]*Percent{
		"responseTime": s.ResponseTime.Weight, "errorRate": s.ErrorRate.Weight, "resources": s.Resources.Weight, "staleness": s.Staleness.Weight,
	} {
		if weight != nil {
			rangeAt(doc, path+"."+name+".weight", *weight, 0, whole)
		}
	}
	rangeAt(doc, path+".responseTime.target", s.ResponseTime.Target, minTimeout, maxP95)
	rangeAt(doc, path+".responseTime.critical", s.ResponseTime.Critical, minTimeout, maxProbeInterval)
	rangeAt(doc, path+".errorRate.target", s.ErrorRate.Target, minErrorRate, maxErrorRate-objectiveScale)
	rangeAt(doc, path+".errorRate.critical", s.ErrorRate.Critical, minErrorRate, maxErrorRate)
	rangeAt(doc, path+".resources.cpu", s.Resources.CPU, 1, whole)
	rangeAt(doc, path+".resources.memory", s.Resources.Memory, 1, whole)
	rangeAt(doc, path+".staleness.critical", s.Staleness.Critical, minStaleness, maxStaleness)
}

func checkTiers(doc *document, path string, t Tiers) {
	rangeAt(doc, path+".shed", t.Shed, minTier, maxProbeInterval)
	rangeAt(doc, path+".eject", t.Eject, minTier, Duration(day))
	rangeAt(doc, path+".promote", t.Promote, minTier, maxPromote)
	rangeAt(doc, path+".minHold", t.MinHold, minTier, maxProbeInterval)
	rangeAt(doc, path+".maxHold", t.MaxHold, minTier, Duration(day))
	if t.Return != nil {
		rangeAt(doc, path+".return", *t.Return, 0, maxProbeInterval)
	}
	for name, share := range map[string]*Percent{"maxEjected": t.MaxEjected, "panicLimit": t.PanicLimit} {
		if share != nil {
			rangeAt(doc, path+"."+name, *share, 0, whole)
		}
	}
	if t.LowScore != nil {
		rangeAt(doc, path+".lowScore", *t.LowScore, 0, whole-1)
	}
}

func checkShift(doc *document, path string, s Shift) {
	rangeAt(doc, path+".slowdown", number(s.Slowdown), minSlowdown, maxSlowdown)
	rangeAt(doc, path+".callers", s.Callers, 1, whole-1)
	rangeAt(doc, path+".minimumCalls", number(s.MinimumCalls), 1, maxMinimumCalls)
}

// checkHealthTogether checks what is measured and what follows of it, defaults in place.
func checkHealthTogether(s loaded[MCPServer]) {
	spec, doc := s.value.Spec, s.document
	for _, layer := range []struct {
		path              string
		interval, timeout Duration
	}{
		{"spec.probes.tcp", spec.Probes.TCP.Interval, spec.Probes.TCP.Timeout},
		{"spec.probes.tls", spec.Probes.TLS.Interval, spec.Probes.TLS.Timeout},
		{"spec.probes.http", spec.Probes.HTTP.Interval, spec.Probes.HTTP.Timeout},
		{"spec.probes.handshake", spec.Probes.Handshake.Interval, spec.Probes.Handshake.Timeout},
		{"spec.probes.list", spec.Probes.List.Interval, spec.Probes.List.Timeout},
	} {
		doc.within(layer.path, ".timeout", ".interval", layer.timeout, layer.interval)
	}
	if q := spec.Probes.Query; q != nil {
		doc.within("spec.probes.query", ".maxLatency", ".interval", q.MaxLatency, q.Interval)
	}
	if m := spec.Probes.Metrics; m != nil {
		doc.within("spec.probes.metrics", ".timeout", ".interval", m.Timeout, m.Interval)
	}
	if spec.TLS != nil && s.clean("spec.tls") {
		// What processors send to endpoints by themselves is plain HTTP.
		if spec.Sessions == SessionsReinitialize {
			s.report("spec.sessions", "use end, or leave out tls", "%s does not go with tls", quote(string(spec.Sessions)))
		}
		if spec.VerifiesHeaders {
			s.report("spec.verifiesHeaders", "leave it out", "does not go with tls")
		}
	}
	score := spec.Score
	s.above("spec.score.responseTime", ".target", ".critical", score.ResponseTime.Target, score.ResponseTime.Critical)
	if doc.clean("spec.score.errorRate") && score.ErrorRate.Critical <= score.ErrorRate.Target {
		doc.report("spec.score.errorRate.critical", "", "%s is not above the target, %s%s",
			score.ErrorRate.Critical, score.ErrorRate.Target, doc.orDefault("spec.score.errorRate.target"))
	}
	if doc.clean("spec.score") && *score.ResponseTime.Weight+*score.ErrorRate.Weight+*score.Resources.Weight+*score.Staleness.Weight == 0 {
		doc.report("spec.score", "give one part a weight", "is made of nothing")
	}
	checkFailover(s)
	s.above("spec.tiers", ".shed", ".eject", spec.Tiers.Shed, spec.Tiers.Eject)
	s.above("spec.tiers", ".eject", ".promote", spec.Tiers.Eject, spec.Tiers.Promote)
	doc.within("spec.tiers", ".minHold", ".maxHold", spec.Tiers.MinHold, spec.Tiers.MaxHold)
}

// checkFailover finds what nobody would do.
func checkFailover(s loaded[MCPServer]) {
	f, off := s.value.Spec.Failover, s.value.Spec.Tiers.Disabled
	if f.Failback == Manual && off && s.clean("spec.failover.failback", "spec.tiers.disabled") {
		s.report("spec.failover.failback", "leave out tiers.disabled", "%s does not go with tiers that change nothing: nobody would keep calls away", quote(string(Manual)))
	}
	if f.Prefer == PreferCost && s.clean("spec.failover", "spec.regions") {
		switch {
		case f.Mode == ActiveActive:
			s.report("spec.failover.prefer", "leave it out", "%s does not go with mode %s, where all regions share the calls", quote(string(PreferCost)), f.Mode)
		case f.Promote == Automatic:
			s.report("spec.failover.promote", "leave it out", "%s does not go with prefer: %s, which says which region is the first", quote(string(Automatic)), PreferCost)
		case !slices.ContainsFunc(s.value.Spec.Regions, func(r Region) bool { return r.Labels.Cost != nil }):
			s.report("spec.failover.prefer", "say what a region costs: labels: {cost: 10}", "no region says what it costs")
		}
	}
	if f.Promote != Automatic || f.Prefer != "" || !s.clean("spec.failover") {
		return
	}
	switch {
	case off && s.clean("spec.tiers.disabled"):
		s.report("spec.failover.promote", "leave out tiers.disabled", "%s does not go with tiers that change nothing", quote(string(Automatic)))
	case f.Mode == ActiveActive:
		s.report("spec.failover.promote", "leave it out", "%s does not go with mode %s, where no region is the first", quote(string(Automatic)), f.Mode)
	}
}

// within reports a time that is longer than the one that bounds it, both below path.
func (d *document) within(path, short, long string, a, b Duration) {
	if d.clean(path+short, path+long) && a > b {
		d.report(path+short, "", "%s%s is longer than the %s, %s%s", a, d.orDefault(path+short), long[1:], b, d.orDefault(path+long))
	}
}

// above reports a time that is not longer than the one before it.
func (d *document) above(path, before, after string, a, b Duration) {
	if d.clean(path+before, path+after) && b <= a {
		d.report(path+after, "", "%s%s is not longer than %s, %s%s", b, d.orDefault(path+after), before[1:], a, d.orDefault(path+before))
	}
}
