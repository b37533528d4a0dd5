package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	outcomev1 "github.com/holdfast-mcp/holdfast/api/outcome/v1"
)

func TestOverrides(t *testing.T) {
	path := t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.LoadOverrides(); err != nil || got != nil {
		t.Fatalf("at first: %v, %v", got, err)
	}
	want := &outcomev1.Override{
		Server: "orders", Tool: "get_order", Region: "asia-south1", State: outcomev1.BreakerState_BREAKER_STATE_OPEN,
		Until: timestamppb.New(time.Unix(100, 0)), By: "operator asha", Reason: "bad release", Since: timestamppb.New(time.Unix(50, 0)),
	}
	if err := d.SaveOverrides([]*outcomev1.Override{want}); err != nil {
		t.Fatal(err)
	}
	got, err := d.LoadOverrides()
	if err != nil || len(got) != 1 || !proto.Equal(got[0], want) {
		t.Fatalf("got %v, %v", got, err)
	}
	file := filepath.Join(path, OverridesFileName)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.LoadOverrides(); err == nil {
		t.Fatalf("a damaged file gives %v", got)
	}
}
