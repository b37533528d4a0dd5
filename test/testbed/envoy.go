package testbed

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// Stat is the value of one of Envoy's counters or gauges by its full name; 0
// where Envoy has none of that name.
func (b *Bed) Stat(name string) uint64 {
	b.t.Helper()
	body, err := b.admin("/stats?filter=" + "^" + regexp.QuoteMeta(name) + "$")
	if err != nil {
		b.t.Fatal(err)
	}
	m := regexp.MustCompile(`: (\d+)\s*$`).FindSubmatch(body)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseUint(string(m[1]), 10, 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *Bed) admin(path string) ([]byte, error) { return adminPage(b.Admin, path) }

// adminPage asks the Envoy whose admin interface is at address.
func adminPage(address, path string) ([]byte, error) {
	resp, err := client().Get("http://" + address + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("envoy admin %s: %s", path, resp.Status)
	}
	return body, err
}

// Retries that Envoy has made in the cluster of a server.
func (b *Bed) Retries(cluster string) uint64 {
	return b.Stat("cluster." + cluster + ".upstream_rq_retry")
}

// Ejections that Envoy's outlier detection has carried out in a cluster.
func (b *Bed) Ejections(cluster string) uint64 {
	return b.Stat("cluster." + cluster + ".outlier_detection.ejections_enforced_total")
}

// statusPage is the part of the control plane's /v1/status that tests look at.
type statusPage struct {
	Revision struct {
		Version string `json:"version"`
	} `json:"revision"`
}

// Revision is the version of the revision that the control plane is rolling out.
func (b *Bed) Revision() string {
	b.t.Helper()
	var page statusPage
	if err := json.Unmarshal(b.StatusJSON(), &page); err != nil {
		b.t.Fatal(err)
	}
	return page.Revision.Version
}

// StatusJSON is the control plane's /v1/status.
func (b *Bed) StatusJSON() []byte {
	b.t.Helper()
	resp, err := client().Get("http://" + b.XDSAdmin + "/v1/status")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return body
}

// Acked is the version of one type of resource, such as "clusters", that Envoy
// acknowledged last, as the control plane's status says.
func (b *Bed) Acked(resources string) string {
	b.t.Helper()
	var page struct {
		Nodes []struct {
			Kind  string `json:"kind"`
			Types map[string]struct {
				Acked string `json:"acked"`
			} `json:"types"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(b.StatusJSON(), &page); err != nil {
		b.t.Fatal(err)
	}
	for _, n := range page.Nodes {
		if n.Kind == Envoy {
			return n.Types[resources].Acked
		}
	}
	return ""
}

// AtRest says that no rollout is under way.
func (b *Bed) AtRest() bool {
	b.t.Helper()
	var page struct {
		Revision struct {
			Phase string `json:"phase"`
		} `json:"revision"`
	}
	if err := json.Unmarshal(b.StatusJSON(), &page); err != nil {
		b.t.Fatal(err)
	}
	return page.Revision.Phase == "done"
}

// Metrics is the /metrics page at an HTTP address of one of our programs.
func (b *Bed) Metrics(address string) (string, error) {
	resp, err := client().Get("http://" + address + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("metrics of %s: %s", address, resp.Status)
	}
	return string(body), err
}

// Processor is one of the two as Envoy sees it.
type Processor struct {
	// Streams are those under way, of both attachment points.
	Streams int
	// Total counts those since Envoy started.
	Total uint64
}

// Processor is what Envoy thinks of the processor of that name.
func (b *Bed) Processor(name string) Processor {
	b.t.Helper()
	body, err := b.admin("/clusters")
	if err != nil {
		b.t.Fatal(err)
	}
	var p Processor
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "holdfast.extproc::"+strings.TrimPrefix(b.socket(name), "unix://")+"::")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(rest, "::")
		switch key {
		case "rq_total":
			if p.Total, err = strconv.ParseUint(value, 10, 64); err != nil {
				b.t.Fatal(err)
			}
		case "rq_active":
			if p.Streams, err = strconv.Atoi(value); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	return p
}
