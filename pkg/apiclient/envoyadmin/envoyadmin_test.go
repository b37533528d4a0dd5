package envoyadmin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers every question with the same text.
func serve(t *testing.T, status int, text string) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	c, err := New(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestConfigDump reads what an Envoy 1.40.0 said, shortened.
func TestConfigDump(t *testing.T) {
	text, err := os.ReadFile("testdata/config_dump.json")
	if err != nil {
		t.Fatal(err)
	}
	got, err := serve(t, http.StatusOK, string(text)).ConfigDump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i].Version = got[i].Version[:min(6, len(got[i].Version))]
	}
	slices.SortFunc(got, func(a, b Resource) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name)) })
	want := []Resource{
		{Type: Clusters, Name: "holdfast.extproc", Version: "edf2c2"},
		{Type: Clusters, Name: "inventory", Version: "9426d3"},
		{Type: Clusters, Name: "orders", Version: "a6b603"},
		{Type: Endpoints, Name: "inventory@93dc6bb59de6"},
		{Type: Endpoints, Name: "orders@67e906d48a9e"},
		{Type: Listeners, Name: "holdfast", Version: "5b7494"},
		{Type: Routes, Name: "holdfast.routes", Version: "f8619c"},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompare(t *testing.T) {
	meant := func(kind, name, version string) *adminv1.NodeResource {
		return &adminv1.NodeResource{Type: kind, Name: name, Version: version}
	}
	for _, test := range []struct {
		name string
		want []*adminv1.NodeResource
		have []Resource
		is   []Compared
	}{
		{"nothing", nil, nil, []Compared{}},
		{
			"same",
			[]*adminv1.NodeResource{meant(Endpoints, "e", "9"), meant(Clusters, "c", "1"), meant(Listeners, "l", "2")},
			[]Resource{{Type: Clusters, Name: "c", Version: "1"}, {Type: Listeners, Name: "l", Version: "2"}, {Type: Endpoints, Name: "e"}},
			[]Compared{
				{Type: Listeners, Name: "l", State: Same, Want: "2", Have: "2"},
				{Type: Clusters, Name: "c", State: Same, Want: "1", Have: "1"},
				{Type: Endpoints, Name: "e", State: Same, Want: "9"},
			},
		},
		{
			"different",
			[]*adminv1.NodeResource{meant(Listeners, "l", "2")},
			[]Resource{{Type: Listeners, Name: "l", Version: "1", Failed: "no such filter"}},
			[]Compared{{Type: Listeners, Name: "l", State: Different, Want: "2", Have: "1", Note: "refused: no such filter"}},
		},
		{
			"missing, and only warming",
			[]*adminv1.NodeResource{meant(Clusters, "a", "1"), meant(Clusters, "b", "1"), meant(Endpoints, "e", "1")},
			[]Resource{{Type: Clusters, Name: "b", Warming: "1"}},
			[]Compared{
				{Type: Clusters, Name: "a", State: Missing, Want: "1"},
				{Type: Clusters, Name: "b", State: Missing, Want: "1", Note: "warming"},
				{Type: Endpoints, Name: "e", State: Missing, Want: "1"},
			},
		},
		{
			"extra", nil,
			[]Resource{{Type: Routes, Name: "r", Version: "1"}, {Type: Clusters, Name: "c", Warming: "2"}},
			[]Compared{{Type: Routes, Name: "r", State: Extra, Have: "1"}, {Type: Clusters, Name: "c", State: Extra, Have: "2", Note: "warming"}},
		},
		{
			"one name in two types",
			[]*adminv1.NodeResource{meant(Clusters, "x", "1")},
			[]Resource{{Type: Endpoints, Name: "x"}},
			[]Compared{{Type: Clusters, Name: "x", State: Missing, Want: "1"}, {Type: Endpoints, Name: "x", State: Extra}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := gocmp.Diff(test.is, Compare(test.want, test.have)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHealth(t *testing.T) {
	for status, want := range map[string]string{
		`{"eds_health_status":"HEALTHY"}`: "healthy",
		`{}`:                              "healthy",
		`{"failed_active_health_check":true,"eds_health_status":"HEALTHY"}`:                          "unhealthy health check",
		`{"failed_active_degraded_check":true}`:                                                      "unhealthy health check",
		`{"failed_outlier_check":true}`:                                                              "ejected outlier detection",
		`{"failed_active_health_check":true,"failed_outlier_check":true}`:                            "ejected health check and outlier detection",
		`{"failed_active_health_check":true,"pending_active_hc":true,"eds_health_status":"HEALTHY"}`: "unknown first health check",
		`{"eds_health_status":"DRAINING","failed_outlier_check":true}`:                               "draining operator",
		`{"eds_health_status":"UNHEALTHY"}`:                                                          "unhealthy operator",
	} {
		text := fmt.Sprintf(`{"cluster_statuses":[{"name":"c","unknown":[],"host_statuses":[{"address":{"socket_address":{"address":"::1","port_value":7}},"health_status":%s,"locality":{"region":"r"}}]}]}`, status)
		got, err := serve(t, http.StatusOK, text).Clusters(t.Context())
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", status, got, err)
		}
		if h := got[0]; strings.TrimSpace(h.State+" "+h.By) != want || h.Cluster != "c" || h.Region != "r" || h.Address != "[::1]:7" {
			t.Errorf("%s is %+v, want %s", status, h, want)
		}
	}
}

func TestNodeID(t *testing.T) {
	if got, err := serve(t, http.StatusOK, `{"node":{"id":"e","cluster":"c"}}`).NodeID(t.Context()); err != nil || got != "e" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWrongAnswers: whatever is there is told, and nothing is made of it.
func TestWrongAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"": "reading what Envoy", "{": "reading what Envoy", "[]": "reading what Envoy", `{"configs":[{"dynamic_active_clusters":7}]}`: "reading what Envoy",
		`{"configs":[],"configs":[]}`: "reading what Envoy", `{"configs":[1]}`: "reading what Envoy",
	} {
		if got, err := serve(t, http.StatusOK, text).ConfigDump(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v, %v", text, got, err)
		}
	}
	if _, err := serve(t, http.StatusNotFound, "{}").NodeID(t.Context()); err == nil || !strings.Contains(err.Error(), "is not an Envoy's admin address") {
		t.Errorf("404 gives %v", err)
	}
	away, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, err := away.Clusters(context.Background()); err == nil || !strings.Contains(err.Error(), "--envoy-admin says where it is") {
		t.Errorf("nobody there gives %v", err)
	}
	for _, address := range []string{"", "127.0.0.1", ":9901", "127.0.0.1:"} {
		if _, err := New(address); err == nil {
			t.Errorf("%q is an address", address)
		}
	}
}
