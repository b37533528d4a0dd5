package telemetry

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandlerServesWhatEveryProgramHas(t *testing.T) {
	r := NewRegistry("extproc", "1.2.3")
	w := httptest.NewRecorder()
	Handler(r, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", Path, nil))
	for _, want := range []string{`holdfast_build_info{program="extproc",version="1.2.3"} 1`, "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

func TestBound(t *testing.T) {
	b := NewBound(2)
	for i, want := range []bool{true, true, false, false} {
		if got := b.Admit([3]string{"orders", fmt.Sprint(i)}); got != want {
			t.Errorf("value %d: %v", i, got)
		}
	}
	if !b.Admit([3]string{"orders", "0"}) {
		t.Error("a value that was admitted is not any more")
	}
}
