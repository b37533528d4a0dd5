package model

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/config"
)

// TestSameRegion: regions that are taken for equal have equal models.
func TestSameRegion(t *testing.T) {
	shared := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		var text string
		for n := range 1 + r.IntN(4) {
			text += fmt.Sprintf("---\nkind: MCPServer\nmetadata: {name: s%d}\nspec:\n  failover: {mode: %s}\n  regions:\n", n, []config.FailoverMode{config.Nearest, config.ActivePassive, config.ActiveActive}[r.IntN(3)])
			for _, m := range r.Perm(4)[:1+r.IntN(4)] {
				text += fmt.Sprintf("    - {name: r%d, endpoints: [{address: \"127.0.0.1:%d\"}]}\n", m, 7000+m)
			}
		}
		text += "---\nkind: MCPRoute\nmetadata: {name: shop}\nspec: {servers: [{name: s0}]}\n"
		cfg, err := config.Parse([]config.File{{Name: "shop.yaml", Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		build := func(region string) *Model {
			m, err := Build(cfg, Options{Region: region, Processors: []string{"unix:///run/a.sock"}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		for _, region := range []string{"", "r0", "r1", "r2", "r3", "elsewhere"} {
			same := SameRegion(cfg, region)
			if same != region {
				shared++
			}
			own, other := build(region), build(same)
			other.Region = region
			if !reflect.DeepEqual(own, other) {
				t.Errorf("seed %d: the model of %q is not that of %q\n%s", seed, region, same, text)
			}
		}
	}
	if shared < 60 {
		t.Errorf("only %d regions were taken for another", shared)
	}
}
