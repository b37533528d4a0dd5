package e2e

import (
	"net/http"
	"testing"
	"time"
)

// informs sends a 1xx, once or again and again, and never an answer.
func informs(status int, every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		if every == 0 {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-r.Context().Done():
				panic(http.ErrAbortHandler)
			case <-ticker.C:
				w.WriteHeader(status)
			}
		}
	}
}

// TestInformationalAnswers: a 1xx takes Envoy's bound off a try, and with it all
// further tries. The call ends in time nevertheless, with a word on what is not
// known, and a server that answers after it is heard.
func TestInformationalAnswers(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	for name, answer := range map[string]http.HandlerFunc{
		"100 and silence": informs(http.StatusContinue, 0), "102 again and again": informs(http.StatusProcessing, 100*time.Millisecond),
	} {
		// Who may call again need not be told what became of the first call.
		for tool, outcome := range map[string]string{"hung_get": "", "create_hung": "unknown"} {
			p.set(answer, answer)
			got := p.call(t, tool)
			r := parse(t, got)
			if got.Status != http.StatusOK || string(r.ID) != "1" || r.Result == nil || r.Result.Meta.Error.Outcome != outcome || r.Result.Meta.Error.Code != "timeout" {
				t.Errorf("%s, %s: %d %s", name, tool, got.Status, got.Body)
			}
			if n := p.runs(); n != 1 {
				t.Errorf("%s, %s: %d tries", name, tool, n)
			}
		}
	}
	p.set(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		good(w, r)
	}, nil)
	if got := p.call(t, "create_order"); got.Status != http.StatusOK || string(got.Body) == "" || got.Header.Get("x-holdfast-degraded") != "" {
		t.Errorf("an answer after a 103: %d %v %s", got.Status, got.Header, got.Body)
	}
}
