package resources

import (
	"bytes"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"google.golang.org/protobuf/proto"
)

// What goes out is what was hashed, and nothing of it is made again.
func TestSerialisedOnce(t *testing.T) {
	g, err := NewGroup(map[string]*clusterv3.Cluster{"orders": {Name: "orders", AltStatName: "x"}, "empty": {Name: "empty"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range g {
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.Message)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cachev3.MarshalResource(r.serialised())
		if err != nil || !bytes.Equal(got, want) || cachev3.HashResource(got) != r.Version {
			t.Errorf("%s: %x, %v; want %x", name, got, err, want)
		}
		if &got[0] != &r.Body[0] {
			t.Errorf("%s was marshalled again", name)
		}
		if cap(got) != len(got) {
			t.Errorf("%s: whoever appends writes over what is shared", name)
		}
		more, err := proto.MarshalOptions{}.MarshalAppend([]byte("before"), r.serialised())
		if err != nil || !bytes.Equal(more, append([]byte("before"), want...)) {
			t.Errorf("%s: appended %x, %v", name, more, err)
		}
		if wire, err := (Versioned{Message: r.Message}).Wire(); err != nil || !bytes.Equal(wire, want) {
			t.Errorf("%s: made anew %x, %v", name, wire, err)
		}
	}
}

func TestHashes(t *testing.T) {
	var h Hashes
	a, b := &clusterv3.Cluster{Name: "a"}, &clusterv3.Cluster{Name: "b"}
	group := func(in map[string]Message) Group {
		t.Helper()
		g, err := h.Group(in)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	first := group(map[string]Message{"a": a, "b": b})
	again := group(map[string]Message{"a": a, "b": &clusterv3.Cluster{Name: "b"}})
	if &first["a"].Body[0] != &again["a"].Body[0] {
		t.Error("the same message was marshalled twice")
	}
	if first["b"].Version != again["b"].Version {
		t.Error("equal messages have different versions")
	}
	if _, err := h.Group(map[string]Message{"other": a}); err == nil {
		t.Error("a known resource under a foreign name")
	}
	for n := range 1000 {
		h.Forget()
		group(map[string]Message{"a": a, "b": &clusterv3.Cluster{Name: "b", AltStatName: string(rune('a' + n%26))}})
	}
	if len(h.known) > 4 {
		t.Errorf("%d messages are remembered, of two in use", len(h.known))
	}
	if kept := group(map[string]Message{"a": a}); &kept["a"].Body[0] != &first["a"].Body[0] {
		t.Error("what is in use was forgotten")
	}
}
