package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-mcp/holdfast/pkg/drill"
)

// Written is how an operator lets one drill break something: by commands, or by a fault proxy.
type Written struct {
	Break     string   `yaml:"break"`
	Mend      string   `yaml:"mend"`
	Noticed   string   `yaml:"noticed"`
	Toxiproxy string   `yaml:"toxiproxy"`
	Proxies   []string `yaml:"proxies"`
}

// None says that nothing is written.
func (w Written) None() bool {
	return w.Break == "" && w.Mend == "" && w.Noticed == "" && w.Toxiproxy == "" && len(w.Proxies) == 0
}

// Fault is what is written, for the drill of that name.
func (w Written) Fault(kind string) (drill.Fault, error) {
	commands := Commands{Break: w.Break, Mend: w.Mend, Noticed: w.Noticed}
	switch {
	case w.Toxiproxy == "" && len(w.Proxies) == 0:
		return commands.Fault()
	case w.Break != "" || w.Mend != "":
		return drill.Fault{}, errors.New("it is broken either by commands or by a fault proxy, not by both")
	}
	f, err := Proxy{API: w.Toxiproxy, Names: w.Proxies}.Fault(kind)
	if err == nil && w.Noticed != "" {
		f.Noticed = commands.notices
	}
	return f, err
}

// ParseFile reads faults by the names of their drills:
//
//	region-loss:
//	  break: kubectl -n mcp scale deployment/orders --replicas=0
//	  mend: kubectl -n mcp scale deployment/orders --replicas=3
//	hang: {toxiproxy: "http://10.0.0.5:8474", proxies: [orders-mumbai]}
func ParseFile(text []byte) (map[string]Written, error) {
	out := map[string]Written{}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading faults: %w", err)
	}
	for name := range out {
		if _, ok := drill.Find(name); !ok {
			return nil, fmt.Errorf("there is no drill %q; there are %s", name, drill.Names())
		}
	}
	return out, nil
}
