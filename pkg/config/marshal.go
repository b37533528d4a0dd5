package config

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// YAML writes the whole configuration, defaults included, as one file that Parse
// reads back to an equal Config, positions aside.
func (c *Config) YAML() ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := encode(enc, KindGateway, c.Gateway, c.Gateway.Metadata.Name); err != nil {
		return nil, err
	}
	for _, s := range c.Servers {
		if err := encode(enc, KindMCPServer, s, s.Metadata.Name); err != nil {
			return nil, err
		}
	}
	for _, r := range c.Routes {
		if err := encode(enc, KindMCPRoute, r, r.Metadata.Name); err != nil {
			return nil, err
		}
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("writing configuration: %w", err)
	}
	return out.Bytes(), nil
}

func encode[T any](enc *yaml.Encoder, kind string, body T, name string) error {
	if err := enc.Encode(resource[T]{APIVersion: APIVersion, Kind: kind, Body: body}); err != nil {
		return fmt.Errorf("writing %s %q: %w", kind, name, err)
	}
	return nil
}
