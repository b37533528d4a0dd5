package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

const (
	// newsEvery is how often the control plane is asked; somebody who saves a file is looking at the terminal.
	newsEvery = 300 * time.Millisecond
	// maxStatusBytes bounds an answer of the control plane.
	maxStatusBytes = 8 << 20
	// shownProblems of a refused configuration; status shows all.
	shownProblems = 3
)

// news tells on the terminal what became of edits while everything runs: silence
// after a typo would look like success.
type news struct {
	applied, refused, rejected string
}

// follow asks the control plane until ctx ends and says what is new.
func (n *news) follow(ctx context.Context, admin string, say func(string)) {
	client := &http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	first := true
	for {
		if s, err := readStatus(ctx, client, admin); err == nil {
			for _, line := range n.changes(s, first) {
				say(line)
			}
			first = false
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// changes are the lines for what s has and the last one had not. The first status
// is what everything started with, and only its troubles are news.
func (n *news) changes(s *status.Status, first bool) []string {
	var lines []string
	if r := s.Revision; r != nil && r.Phase == "done" && r.Version != n.applied {
		if !first {
			lines = append(lines, fmt.Sprintf("  %s applied, by %d of %d nodes", revisionOf(r), synced(s.Nodes), len(s.Nodes)))
		}
		n.applied = r.Version
	}
	text := ""
	if s.Refused != nil && s.Refused.Standing {
		text = s.Refused.Error
	}
	if text != "" && text != n.refused {
		lines = append(lines, "! configuration refused, nothing changes:")
		problems := strings.Split(strings.TrimSpace(text), "\n")
		for i, p := range problems {
			if i == shownProblems {
				lines = append(lines, fmt.Sprintf("    and %d more", len(problems)-i))
				break
			}
			lines = append(lines, "    "+oneLine(p))
		}
	}
	if text == "" && n.refused != "" {
		lines = append(lines, "  the configuration is in order again")
	}
	n.refused = text
	text = ""
	if r := s.Rejected; r != nil {
		text = fmt.Sprintf("! configuration %s rejected by %s, taken back: %s", short(r.Version), oneLine(r.Node), oneLine(r.Detail))
	}
	if text != "" && text != n.rejected {
		lines = append(lines, text)
	}
	n.rejected = text
	return lines
}

// revisionOf is a revision as people call it: by its number, where that is known.
func revisionOf(r *status.Revision) string {
	if r.Number > 0 {
		return fmt.Sprintf("revision %d", r.Number)
	}
	return "configuration " + short(r.Version)
}

func synced(nodes []status.Node) int {
	n := 0
	for _, node := range nodes {
		if node.Sync == status.Synced {
			n++
		}
	}
	return n
}

func readStatus(ctx context.Context, client *http.Client, admin string) (*status.Status, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/v1/status", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking the control plane: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the control plane: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatusBytes))
	if err != nil {
		return nil, fmt.Errorf("asking the control plane: %w", err)
	}
	var s status.Status
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("reading the control plane's status: %w", err)
	}
	return &s, nil
}
