package config

// UpstreamTLS has Envoy and the control plane speak TLS with the endpoints of a server. The files are on the machines of
// every Envoy and of the control plane. Sessions are then not opened again, and headers are not verified.
type UpstreamTLS struct {
	// CA is a file with the certificates of authorities that the endpoints are trusted by, an absolute path. Default
	// /etc/ssl/certs/ca-certificates.crt.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// ServerName that the endpoints' certificates have to have, a host name or an IP address.
	ServerName string `yaml:"serverName" json:"serverName"`
	// Certificate is a file with the chain that Envoy and the control plane show of themselves, an absolute path. Default:
	// they show none.
	Certificate string `yaml:"certificate,omitempty" json:"certificate,omitempty"`
	// Key is a file with the certificate's private key, an absolute path; required with a certificate.
	Key string `yaml:"key,omitempty" json:"key,omitempty"`
}

// Probes are the control plane's own looks at every endpoint, in layers, each of which takes the one before it for granted.
// What is found bad is the lowest layer that fails.
type Probes struct {
	// TCP connects. Default interval 5s, timeout 1s.
	TCP Probe `yaml:"tcp,omitempty" json:"tcp,omitempty"`
	// TLS shakes hands and checks the certificate, where the server has tls. Default interval 10s, timeout 2s.
	TLS Probe `yaml:"tls,omitempty" json:"tls,omitempty"`
	// HTTP asks for the healthCheck's path: 2xx is well, 429 strained, anything else a failure; with the default path other 4xx
	// are well too. Off where healthCheck is disabled. Default interval 10s, timeout 2s.
	HTTP Probe `yaml:"http,omitempty" json:"http,omitempty"`
	// Handshake is MCP's: server/discover or, where that is not known, initialize, and then the end of that session. Default
	// interval 30s, timeout 5s.
	Handshake Probe `yaml:"handshake,omitempty" json:"handshake,omitempty"`
	// List asks for the server's tools. It fails once neither it nor a call has been answered for the score's staleness.
	// Default interval 1m, timeout 5s.
	List Probe `yaml:"list,omitempty" json:"list,omitempty"`
	// Query calls one tool. Default: none is called.
	Query *Query `yaml:"query,omitempty" json:"query,omitempty"`
	// Metrics reads CPU and memory from a Prometheus page of the server. Default: none is read; what a server says in ORCA
	// headers of its answers counts in any case.
	Metrics *MetricsProbe `yaml:"metrics,omitempty" json:"metrics,omitempty"`
	// Disabled turns all of them off: the score is then made of what calls come to alone. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}

// Probe is one layer of probes.
type Probe struct {
	// Interval between two probes, 100ms to 1h, give or take a tenth. While an endpoint is watched they come twice as fast.
	// Default: see the layer.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// Timeout of one, 10ms to the interval. Default: see the layer, or the interval where that is shorter.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// Retries at once of a probe that fails, before it counts as failed, 0 to 5. Default 0.
	Retries int `yaml:"retries,omitempty" json:"retries,omitempty"`
	// Failures in a row after which the layer counts as failed, 1 to 100. Default 2.
	Failures int `yaml:"failures,omitempty" json:"failures,omitempty"`
	// Successes in a row after which it counts as good again, 1 to 100. Default 2.
	Successes int `yaml:"successes,omitempty" json:"successes,omitempty"`
	// Disabled leaves the layer out. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}

// Query is a call of a tool that the control plane makes again and again: name one that may.
type Query struct {
	// Tool that is called.
	Tool string `yaml:"tool" json:"tool"`
	// Arguments of the call, a JSON object as text. Default {}.
	Arguments string `yaml:"arguments,omitempty" json:"arguments,omitempty"`
	// MaxLatency that its answer may take, 10ms to the interval: one that takes longer is a failure. Default 5s, or the
	// interval where that is shorter.
	MaxLatency Duration `yaml:"maxLatency,omitempty" json:"maxLatency,omitempty"`
	// Interval between two calls, 100ms to 1h. Default 30s.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// Retries at once of a call that fails, 0 to 5. Default 0.
	Retries int `yaml:"retries,omitempty" json:"retries,omitempty"`
	// Failures in a row after which the layer counts as failed, 1 to 100. Default 2.
	Failures int `yaml:"failures,omitempty" json:"failures,omitempty"`
	// Successes in a row after which it counts as good again, 1 to 100. Default 2.
	Successes int `yaml:"successes,omitempty" json:"successes,omitempty"`
}

// MetricsProbe reads what a server says of its resources.
type MetricsProbe struct {
	// Path of the page. Default /metrics.
	Path string `yaml:"path,omitempty" json:"path,omitempty"`
	// Port of the page on the endpoint's host, 1 to 65535. Default: the endpoint's own.
	Port int `yaml:"port,omitempty" json:"port,omitempty"`
	// CPU is the metric for it: a gauge between 0 and 1, or a counter of seconds, of which the growth by cores counts.
	// Default process_cpu_seconds_total.
	CPU string `yaml:"cpu,omitempty" json:"cpu,omitempty"`
	// Cores that the server has, 1 to 1024, for a counter of seconds. Default 1.
	Cores int `yaml:"cores,omitempty" json:"cores,omitempty"`
	// Memory is the metric for it: a gauge between 0 and 1, or one of bytes, of which the part of memoryLimit counts.
	// Default process_resident_memory_bytes where there is a memoryLimit, else none.
	Memory string `yaml:"memory,omitempty" json:"memory,omitempty"`
	// MemoryLimit is all the memory that the server has, for a gauge of bytes. Default: none is known.
	MemoryLimit ByteSize `yaml:"memoryLimit,omitempty" json:"memoryLimit,omitempty"`
	// Interval between two readings, 100ms to 1h. Default 15s.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty"`
	// Timeout of one, 10ms to the interval. Default 2s, or the interval where that is shorter.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	// Failures in a row beyond a critical value after which the layer counts as failed, 1 to 100. Default 2.
	Failures int `yaml:"failures,omitempty" json:"failures,omitempty"`
}

// Score says what the score of an endpoint is made of, and from where on things are bad (docs/HEALTH.md).
type Score struct {
	// ResponseTime of 95 of 100 answers.
	ResponseTime ResponseTimeScore `yaml:"responseTime,omitempty" json:"responseTime,omitempty"`
	// ErrorRate is the share of answers that are failures.
	ErrorRate ErrorRateScore `yaml:"errorRate,omitempty" json:"errorRate,omitempty"`
	// Resources are CPU and memory.
	Resources ResourceScore `yaml:"resources,omitempty" json:"resources,omitempty"`
	// Staleness is the time since the last good list or call.
	Staleness StalenessScore `yaml:"staleness,omitempty" json:"staleness,omitempty"`
}

// ResponseTimeScore is how quickly an endpoint answers.
type ResponseTimeScore struct {
	// Weight of this part, 0% to 100%; what matters is its ratio to the others. Default 40%.
	Weight *Percent `yaml:"weight,omitempty" json:"weight,omitempty"`
	// Target up to which it counts in full, 1ms to 10m. Default 100ms.
	Target Duration `yaml:"target,omitempty" json:"target,omitempty"`
	// Critical from which on it counts nothing, longer than the target, to 1h. Default 500ms, or five times the target where
	// that is written.
	Critical Duration `yaml:"critical,omitempty" json:"critical,omitempty"`
}

// ErrorRateScore is how many answers are failures.
type ErrorRateScore struct {
	// Weight of this part, 0% to 100%. Default 30%.
	Weight *Percent `yaml:"weight,omitempty" json:"weight,omitempty"`
	// Target up to which it counts in full, 0.001% to 99%. Default 0.1%.
	Target Objective `yaml:"target,omitempty" json:"target,omitempty"`
	// Critical from which on it counts nothing, more than the target, to 100%. Default 2%, or twenty times the target where that
	// is written.
	Critical Objective `yaml:"critical,omitempty" json:"critical,omitempty"`
}

// ResourceScore is what an endpoint has left.
type ResourceScore struct {
	// Weight of this part, 0% to 100%. Default 20%.
	Weight *Percent `yaml:"weight,omitempty" json:"weight,omitempty"`
	// CPU in use from which on it counts nothing, 1% to 100%; it counts in full up to three quarters of that. Default 95%.
	CPU Percent `yaml:"cpu,omitempty" json:"cpu,omitempty"`
	// Memory in use, likewise. Default 90%.
	Memory Percent `yaml:"memory,omitempty" json:"memory,omitempty"`
}

// StalenessScore is how old the last good word of an endpoint is.
type StalenessScore struct {
	// Weight of this part, 0% to 100%. Default 10%.
	Weight *Percent `yaml:"weight,omitempty" json:"weight,omitempty"`
	// Critical age from which on it counts nothing, 1s to 1d; it counts in full up to half of that. Default 5m.
	Critical Duration `yaml:"critical,omitempty" json:"critical,omitempty"`
}

// Tiers say what is done about an endpoint by how long it has been bad: probes come faster and a warning is in the log; then it
// gets fewer calls and an alert fires; then it gets none; then its region's standby is promoted and an incident is opened.
type Tiers struct {
	// Shed is after how long it gets fewer calls, 100ms to 1h. Default 30s.
	Shed Duration `yaml:"shed,omitempty" json:"shed,omitempty"`
	// Eject is after how long it gets none, longer than shed, to 1d. Default 1m, or twice shed where that is written.
	Eject Duration `yaml:"eject,omitempty" json:"eject,omitempty"`
	// Promote is after how long its region is given up, longer than eject, to 7d. Default 5m, or five times eject where that is
	// written.
	Promote Duration `yaml:"promote,omitempty" json:"promote,omitempty"`
	// MinHold is how long an endpoint has to be good before it counts as well again, 100ms to 1h; each relapse
	// doubles it. Default 10s.
	MinHold Duration `yaml:"minHold,omitempty" json:"minHold,omitempty"`
	// MaxHold that it grows to, minHold to 1d. So long without a relapse, and they are forgotten. Default 5m, or minHold where that
	// is longer.
	MaxHold Duration `yaml:"maxHold,omitempty" json:"maxHold,omitempty"`
	// Return is the time in which an endpoint gets its calls back, 0s to 1h. Default 30s.
	Return *Duration `yaml:"return,omitempty" json:"return,omitempty"`
	// LowScore is the score, 0% to 99%, below which an endpoint gets fewer calls although no layer has failed. Default 50%.
	LowScore *Percent `yaml:"lowScore,omitempty" json:"lowScore,omitempty"`
	// MaxEjected is the share of a region's endpoints that tiers may take out at the same time, 0% to 100%. Default: 100% while
	// another region has an endpoint that is fit, else 50%.
	MaxEjected *Percent `yaml:"maxEjected,omitempty" json:"maxEjected,omitempty"`
	// PanicLimit is the share of the last region's endpoints, 0% to 100%: where fewer are fit, none is taken out, so that calls
	// spread rather than stop. Default 50%.
	PanicLimit *Percent `yaml:"panicLimit,omitempty" json:"panicLimit,omitempty"`
	// Disabled measures, scores and shows, and changes nothing. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}

// Shift sends callers away from a region as soon as their calls are slow there: within seconds, from the calls alone.
type Shift struct {
	// Slowdown is how many times its own time of the last five minutes the region's p95 has to be, 2 to 100, and above the
	// score's target; the score's critical response time does in any case. Default 3.
	Slowdown int `yaml:"slowdown,omitempty" json:"slowdown,omitempty"`
	// Callers is the share that goes to another region, 1% to 99%; the others show how the region does. Default 98%.
	Callers Percent `yaml:"callers,omitempty" json:"callers,omitempty"`
	// MinimumCalls of the region in five seconds before they say anything, 1 to 100000. Default 20.
	MinimumCalls int `yaml:"minimumCalls,omitempty" json:"minimumCalls,omitempty"`
	// Disabled leaves callers where they are. Default false.
	Disabled bool `yaml:"disabled,omitempty" json:"disabled,omitempty"`
}
