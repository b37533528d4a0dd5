package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control/admin"
	"github.com/holdfast-mcp/holdfast/pkg/control/status"
)

// TestOnTheAdminListener: the API stands beside the pages of package admin, on the same address.
func TestOnTheAdminListener(t *testing.T) {
	backend := &fake{}
	service := New(backend, Options{})
	listener, err := admin.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{backend: backend, service: service, address: listener.Addr().String()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		report := func() status.Status { return status.Status{Ready: true} }
		done <- admin.Serve(ctx, listener, admin.Handler(report, service.Local(), nil), nil, slog.New(slog.DiscardHandler))
	}()
	if got := w.post(t, "Apply", "application/json", someApply); got.status != http.StatusOK || backend.count() != 1 {
		t.Errorf("Apply: %d %s", got.status, got.body)
	}
	if got := w.post(t, "Apply", "application/json", someApply, "Host", "evil.example"); got.status != http.StatusForbidden || backend.count() != 1 {
		t.Errorf("Apply of another host: %d %s", got.status, got.body)
	}
	if got := w.post(t, "Apply", "application/json", someApply, "Origin", "http://"+w.address); got.Code != "permission_denied" || backend.count() != 1 {
		t.Errorf("Apply of a page: %d %s", got.status, got.body)
	}
	conn := grpcConn(t, w.address)
	if err := conn.Invoke(t.Context(), "/holdfast.admin.v1.Admin/Status", &adminv1.StatusRequest{}, &adminv1.StatusResponse{}); err != nil {
		t.Errorf("gRPC: %v", err)
	}
	client := httpClient(t, nil, false)
	for path, want := range map[string]string{"/v1/status": `"nodes"`, "/openapi.json": `"swagger"`} {
		if got := send(t, client, http.MethodGet, "http://"+w.address+path, "", ""); got.status != http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %.200s", path, got.status, got.body)
		}
	}
	stream, err := w.client(t).Watch(t.Context(), &adminv1.WatchRequest{})
	if err != nil || !stream.Receive() {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if stream.Receive() || !strings.Contains(stream.Err().Error(), "stopping") {
		t.Errorf("at the end: %v", stream.Err())
	}
	_ = stream.Close()
}
