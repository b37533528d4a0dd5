package config

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"
)

// JSONSchema gives a JSON schema (draft 2020-12) for one YAML document of a
// configuration, for editors. It is made from the types of this package and always the same.
// It checks less than Parse: references, order of rules and sums need the whole configuration.
func JSONSchema() ([]byte, error) {
	b := schemaBuilder{texts: descriptions(), defs: map[string]*jsonschema.Schema{}}
	root := &jsonschema.Schema{
		Schema:      "https://json-schema.org/draft/2020-12/schema",
		Title:       "Holdfast configuration",
		Description: "One resource: a Gateway, an MCPServer or an MCPRoute.",
		OneOf: []*jsonschema.Schema{
			b.resource(KindGateway, reflect.TypeFor[resource[Gateway]]()),
			b.resource(KindMCPServer, reflect.TypeFor[resource[MCPServer]]()),
			b.resource(KindMCPRoute, reflect.TypeFor[resource[MCPRoute]]()),
		},
	}
	root.Defs = b.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the JSON schema: %w", err)
	}
	return append(out, '\n'), nil
}

// schemaBuilder collects one definition per type.
type schemaBuilder struct {
	texts map[string]string
	defs  map[string]*jsonschema.Schema
}

func refTo(name string) *jsonschema.Schema {
	return &jsonschema.Schema{Ref: "#/$defs/" + name}
}

// resource defines a whole document of one kind.
func (b *schemaBuilder) resource(kind string, t reflect.Type) *jsonschema.Schema {
	s := b.object(kind, t)
	s.Properties["kind"] = &jsonschema.Schema{Const: jsonschema.Ptr[any](kind)}
	s.Properties["apiVersion"] = &jsonschema.Schema{Const: jsonschema.Ptr[any](APIVersion)}
	b.defs[kind] = s
	return refTo(kind)
}

// object makes the schema of a struct, which allows no fields but its own.
func (b *schemaBuilder) object(name string, t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{
		Type: "object", Description: b.texts[name],
		Properties:           map[string]*jsonschema.Schema{},
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}},
	}
	for _, f := range fieldsOf(t) {
		property := b.of(f.typ)
		key := name + "." + f.name
		property.Description = b.texts[key]
		constrain(key, property)
		s.Properties[f.name] = property
		s.PropertyOrder = append(s.PropertyOrder, f.name)
		if f.required {
			s.Required = append(s.Required, f.name)
		}
	}
	constrain(name, s)
	return s
}

// of gives a schema for a type; named types are defined once and referred to.
func (b *schemaBuilder) of(t reflect.Type) *jsonschema.Schema {
	switch t.Kind() {
	case reflect.Pointer:
		return b.of(t.Elem())
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: b.of(t.Elem())}
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.Int:
		if t != reflect.TypeFor[Percent]() && t != reflect.TypeFor[Objective]() {
			return &jsonschema.Schema{Type: "integer"}
		}
	}
	if t == reflect.TypeFor[string]() {
		return &jsonschema.Schema{Type: "string"}
	}
	if _, ok := b.defs[t.Name()]; !ok {
		b.defs[t.Name()] = b.named(t)
	}
	return refTo(t.Name())
}

func (b *schemaBuilder) named(t reflect.Type) *jsonschema.Schema {
	text := b.texts[t.Name()]
	if e, ok := reflect.Zero(t).Interface().(enum); ok {
		s := &jsonschema.Schema{Type: "string", Description: text}
		for _, v := range e.values() {
			s.Enum = append(s.Enum, v)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return &jsonschema.Schema{Type: "string", Description: text, Pattern: `^([0-9]+(\.[0-9]{1,3})?d)?([0-9]+(\.[0-9]{1,3})?h)?([0-9]+(\.[0-9]{1,3})?m)?([0-9]+(\.[0-9]{1,3})?s)?([0-9]+ms)?$`, MinLength: jsonschema.Ptr(2)}
	case reflect.TypeFor[ByteSize]():
		return &jsonschema.Schema{Description: text, OneOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: jsonschema.Ptr(0.0)},
			{Type: "string", Pattern: `^[0-9]+(KiB|MiB)?$`},
		}}
	case reflect.TypeFor[Percent]():
		return &jsonschema.Schema{Type: "string", Description: text, Pattern: `^[0-9]{1,6}%$`}
	case reflect.TypeFor[Objective]():
		return &jsonschema.Schema{Type: "string", Description: text, Pattern: `^[0-9]{1,3}(\.[0-9]{1,3})?%$`}
	case reflect.TypeFor[Value]():
		return &jsonschema.Schema{Description: text}
	case reflect.TypeFor[Scalar]():
		return &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}, Description: text}
	default:
		return b.object(t.Name(), t)
	}
}

// Patterns of texts.
const (
	namePattern   = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	pathPattern   = `^/[A-Za-z0-9/._~!$&'()*+,;=:@-]*$`
	answerPattern = `^/(result|error)(/([^/~]|~[01])*)*$`
	pointPattern  = `^(/([^/~]|~[01])*)+$`
)

// constrain adds what the type alone does not say.
func constrain(key string, s *jsonschema.Schema) {
	text := func(pattern string, longest int) {
		s.Pattern, s.MinLength, s.MaxLength = pattern, jsonschema.Ptr(1), jsonschema.Ptr(longest)
	}
	items := func(least, most int) {
		s.MinItems, s.MaxItems = jsonschema.Ptr(least), jsonschema.Ptr(most)
	}
	between := func(least, most float64) {
		s.Minimum, s.Maximum = jsonschema.Ptr(least), jsonschema.Ptr(most)
	}
	switch key {
	case "Metadata.name", "Region.name", "ServerRef.name", "ToolTarget.server":
		text(namePattern, maxNameBytes)
	case "Endpoint.name":
		text(namePattern, maxEndpointNameBytes)
	case "MCPServerSpec.path", "MCPRouteSpec.path", "HealthCheck.path":
		text(pathPattern, maxPathBytes)
	case "ToolMatch.name", "ToolMatch.regex", "ArgumentMatch.regex", "MethodMatch.name":
		text("", maxPatternBytes)
	case "ArgumentMatch.pointer":
		text(pointPattern, maxPatternBytes)
	case "GatewaySpec.allowedHosts":
		items(1, maxHosts)
	case "GatewaySpec.allowedOrigins":
		items(1, maxOrigins)
	case "GatewaySpec.processors":
		items(1, maxProcessors)
	case "MCPServerSpec.regions":
		items(1, maxRegions)
	case "Region.endpoints":
		items(1, maxEndpoints)
	case "MCPRouteSpec.servers":
		items(1, maxServerRefs)
	case "MCPRouteSpec.tools":
		items(0, maxTools)
	case "MCPRouteSpec.methods":
		items(0, maxMethods)
	case "Outlier.consecutiveFailures":
		between(1, maxConsecutive)
	case "Outlier.minimumCalls":
		between(1, maxMinimumCalls)
	case "RetryBudget.floor":
		between(0, maxBudgetFloor)
	case "Breaker.failures":
		between(2, maxConsecutive)
	case "ToolRule.failWhen", "ToolRule.okWhen":
		items(0, maxAnswerTests)
	case "AnswerMatch.status":
		items(1, maxStatuses)
	case "AnswerMatch.in":
		items(1, maxInValues)
	case "AnswerMatch.pointer":
		text(answerPattern, maxPatternBytes)
	case "AnswerMatch.regex", "AnswerMatch.message":
		text("", maxPatternBytes)
	case "AnswerMatch":
		s.MinProperties = jsonschema.Ptr(1)
	case "ToolMatch.arguments":
		items(0, maxArguments)
	case "ArgumentMatch.in":
		items(1, maxInValues)
	case "CachedResult.vary":
		items(1, maxVary)
	case "StaticAnswer.text":
		s.MaxLength = jsonschema.Ptr(maxStaticText)
	case "StaticAnswer.structuredContent":
		// A reference beside a type: what holds for any Value, and for this one.
		s.Type = "object"
	case "StaticAnswer":
		s.AnyOf = []*jsonschema.Schema{{Required: []string{"text"}}, {Required: []string{"structuredContent"}}}
	case "Retry.attempts":
		between(1, maxAttempts)
	case "ToolMatch":
		s.Not = &jsonschema.Schema{Required: []string{"name", "regex"}}
	case "ArgumentMatch":
		s.OneOf = []*jsonschema.Schema{{Required: []string{"equals"}}, {Required: []string{"in"}}, {Required: []string{"regex"}}}
	}
}
