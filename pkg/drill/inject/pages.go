package inject

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/holdfast-mcp/holdfast/pkg/health"
)

const (
	pageTimeout = 2 * time.Second
	maxPage     = 1 << 20
)

// processorsSay asks the processors how they are: one that misses something goes on working, and says so.
func (s *Stack) processorsSay(ctx context.Context) (string, error) {
	for _, address := range s.info.ProcessorHTTP {
		report, err := readPage(ctx, "http://"+address+health.PathReady)
		if err != nil {
			return "", err
		}
		for _, check := range report.Checks {
			if check.State != health.Healthy {
				return "the processors' health pages: " + check.Name + ", " + string(check.State), nil
			}
		}
	}
	return "", nil
}

func readPage(ctx context.Context, url string) (health.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	var report health.Report
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return report, fmt.Errorf("asking a processor: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return report, fmt.Errorf("asking a processor: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if err := json.UnmarshalRead(http.MaxBytesReader(nil, resp.Body, maxPage), &report); err != nil {
		return report, fmt.Errorf("reading %s: %w", url, err)
	}
	return report, nil
}
