package schemafit

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxVisits bounds how often parts of a schema are held against parts of a value. Subschemas that refer to
// others twice, which do so again, would otherwise take as long as their author likes.
const maxVisits = 100_000

var errCostly = errors.New("it takes too long to see what fits it")

// cost walks a schema along a value as a validator does, and gives up when that takes too many steps.
type cost struct {
	root any
	left int
}

func affordable(schema, value any) error {
	c := cost{root: schema, left: maxVisits}
	return c.visit(schema, value)
}

func (c *cost) visit(schema, value any) error {
	if c.left--; c.left < 0 {
		return errCostly
	}
	s, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	for _, name := range [...]string{"not", "if", "then", "else"} {
		if sub, ok := s[name]; ok {
			if err := c.visit(sub, value); err != nil {
				return err
			}
		}
	}
	for _, name := range [...]string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[name].([]any)
		for _, sub := range list {
			if err := c.visit(sub, value); err != nil {
				return err
			}
		}
	}
	for _, name := range [...]string{"dependentSchemas", "dependencies"} {
		if err := c.each(s[name], value); err != nil {
			return err
		}
	}
	for _, name := range [...]string{"$ref", "$dynamicRef", "$recursiveRef"} {
		ref, ok := s[name].(string)
		if !ok {
			continue
		}
		target, err := c.resolve(ref)
		if err != nil {
			return err
		}
		if err := c.visit(target, value); err != nil {
			return err
		}
	}
	return c.inside(s, value)
}

// each visits all members of an object with one value.
func (c *cost) each(schemas, value any) error {
	members, _ := schemas.(map[string]any)
	for _, sub := range members {
		if err := c.visit(sub, value); err != nil {
			return err
		}
	}
	return nil
}

// inside visits what is held against the members or elements of a value, every one of them against each:
// more than a validator does.
func (c *cost) inside(s map[string]any, value any) error {
	var parts []any
	switch v := value.(type) {
	case map[string]any:
		for name, part := range v {
			parts = append(parts, part)
			if properties, ok := s["properties"].(map[string]any); ok {
				if sub, ok := properties[name]; ok {
					if err := c.visit(sub, part); err != nil {
						return err
					}
				}
			}
			if err := c.each(s["patternProperties"], part); err != nil {
				return err
			}
		}
	case []any:
		parts = v
	}
	for _, part := range parts {
		for _, name := range [...]string{"additionalProperties", "unevaluatedProperties", "items", "additionalItems", "unevaluatedItems", "contains"} {
			if err := c.visit(s[name], part); err != nil {
				return err
			}
		}
		for _, name := range [...]string{"prefixItems", "items"} {
			list, _ := s[name].([]any)
			for _, sub := range list {
				if err := c.visit(sub, part); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// resolve follows a reference into the schema itself: the only ones that are followed.
func (c *cost) resolve(ref string) (any, error) {
	fragment, ok := strings.CutPrefix(ref, "#")
	if !ok || fragment != "" && fragment[0] != '/' {
		return nil, fmt.Errorf("reference %q is not a pointer into the schema", ref)
	}
	fragment, err := url.PathUnescape(fragment)
	if err != nil {
		return nil, fmt.Errorf("reference %q: %w", ref, err)
	}
	at := c.root
	if fragment == "" {
		return at, nil
	}
	for _, token := range strings.Split(fragment[1:], "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := at.(type) {
		case map[string]any:
			at = v[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil, fmt.Errorf("reference %q leads nowhere", ref)
			}
			at = v[i]
		default:
			return nil, fmt.Errorf("reference %q leads nowhere", ref)
		}
	}
	return at, nil
}
