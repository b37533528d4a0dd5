package drill

import (
	"time"
)

// Report is what one drill measured. Times are in milliseconds; those that are absent never came,
// or could not be seen.
type Report struct {
	Drill string `json:"drill"`
	// Says what was broken, Did and Undid what was done.
	Says  string `json:"says"`
	Did   string `json:"did"`
	Undid string `json:"undid"`
	// Endpoint is the URL that was called.
	Endpoint string    `json:"endpoint"`
	Started  time.Time `json:"started"`
	// Version of Holdfast's command line.
	Version string `json:"version,omitzero"`
	Callers int    `json:"callers"`
	Rate    int    `json:"rate"`
	// BrokenForMS is the time from the break to the mending.
	BrokenForMS int64 `json:"brokenForMs"`
	// DetectedMS is the time from the break until somebody had noticed, DetectedBy who.
	DetectedMS *int64 `json:"detectedMs,omitzero"`
	DetectedBy string `json:"detectedBy,omitzero"`
	// FirstGoodMS is the time from the break to the first good answer to a call made after it.
	FirstGoodMS *int64 `json:"firstGoodMs,omitzero"`
	// RecoveredMS is the time from the mending until calls went the usual way again, and nobody saw anything wrong.
	RecoveredMS *int64 `json:"recoveredMs,omitzero"`
	// P99BeforeMS and P99MeanwhileMS are of good answers, from when each call was due; SlowestMS is that of
	// all safe calls meanwhile.
	P99BeforeMS    int64 `json:"p99BeforeMs"`
	P99MeanwhileMS int64 `json:"p99MeanwhileMs"`
	SlowestMS      int64 `json:"slowestMs"`
	Calls          Calls `json:"calls"`
	// Aborted says why the fault was mended before its time.
	Aborted string `json:"aborted,omitzero"`
	// Failures are what the first calls that failed got.
	Failures []string `json:"failures,omitzero"`
	// Broken are the promises that were broken; empty: all went as Holdfast promises.
	Broken []string `json:"broken,omitzero"`
}

// Calls are counts of calls, from the first to the last of the drill.
type Calls struct {
	Made int `json:"made"`
	Good int `json:"good"`
	// Retried are the good ones that took more than one try.
	Retried int `json:"retried"`
	// Degraded by their source, such as "stale" or "cache".
	Degraded map[string]int `json:"degraded,omitzero"`
	// Failed by class: Holdfast's word such as "timeout", else "server error" or "no answer".
	Failed map[string]int `json:"failed,omitzero"`
	// SafeFailed are those among them that may run twice; none of them should fail.
	SafeFailed int `json:"safeFailed"`
	// Unsafe are the calls that must not run twice; NotExecuted and Unknown what those of them that failed say
	// became of them, Untold those that say nothing and are no server's own answer.
	Unsafe      int `json:"unsafe"`
	NotExecuted int `json:"notExecuted"`
	Unknown     int `json:"unknown"`
	Untold      int `json:"untold"`
	// ExecutedTwice and Lost (answered well, and never executed) are counted in the servers' journals; absent: there are none.
	ExecutedTwice *int `json:"executedTwice,omitzero"`
	Lost          *int `json:"lost,omitzero"`
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

func milliseconds(d time.Duration) *int64 {
	ms := d.Round(time.Millisecond).Milliseconds()
	return &ms
}
