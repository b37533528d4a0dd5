package api

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// schema is the part of OpenAPI 2.0 that the test looks at.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Format     string            `json:"format"`
	Items      *schema           `json:"items"`
	Properties map[string]schema `json:"properties"`
	Additional *schema           `json:"additionalProperties"`
	Enum       []string          `json:"enum"`
}

type description struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Schema schema } `json:"parameters"`
		Responses  map[string]struct {
			Schema schema `json:"schema"`
		} `json:"responses"`
		Consumes []string `json:"consumes"`
	} `json:"paths"`
	Definitions map[string]schema `json:"definitions"`
}

// TestOpenAPIIsWhatTheProtoSays: make generate was not forgotten.
func TestOpenAPIIsWhatTheProtoSays(t *testing.T) {
	var d description
	if err := json.Unmarshal([]byte(adminv1.OpenAPI()), &d); err != nil {
		t.Fatal(err)
	}
	const hint = "run make generate"
	file := adminv1.File_api_admin_v1_admin_proto
	methods := file.Services().ByName("Admin").Methods()
	if len(d.Paths) != methods.Len() {
		t.Errorf("%d paths, want %d; %s", len(d.Paths), methods.Len(), hint)
	}
	for i := range methods.Len() {
		m := methods.Get(i)
		post, ok := d.Paths["/holdfast.admin.v1.Admin/"+string(m.Name())]["post"]
		if !ok || len(post.Parameters) != 1 || post.Parameters[0].Schema.Ref != reference(m.Input()) || post.Responses["200"].Schema.Ref != reference(m.Output()) {
			t.Errorf("%s: %+v; %s", m.Name(), post, hint)
		}
		if _, ok := post.Responses["default"]; !ok {
			t.Errorf("%s: no word about errors; %s", m.Name(), hint)
		}
		if m.IsStreamingServer() != slices.Equal(post.Consumes, []string{"application/connect+json"}) {
			t.Errorf("%s: consumes %s", m.Name(), post.Consumes)
		}
	}
	for i := range file.Messages().Len() {
		message := file.Messages().Get(i)
		got, ok := d.Definitions["v1"+string(message.Name())]
		if !ok {
			t.Errorf("%s is missing; %s", message.Name(), hint)
			continue
		}
		want := map[string]schema{}
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			want[field.JSONName()] = fieldSchema(field)
		}
		if !slices.Equal(slices.Sorted(maps.Keys(got.Properties)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s has %s; %s", message.Name(), slices.Sorted(maps.Keys(got.Properties)), hint)
		}
		for name, w := range want {
			if g := got.Properties[name]; !matches(g, w) {
				t.Errorf("%s.%s: %+v, want %+v; %s", message.Name(), name, g, w, hint)
			}
		}
	}
	owners := d.Definitions["v1Owner"].Enum
	if values := file.Enums().ByName("Owner").Values(); len(owners) != values.Len() {
		t.Errorf("Owner: %s; %s", owners, hint)
	}
}

func reference(m protoreflect.Descriptor) string { return "#/definitions/v1" + string(m.Name()) }

func fieldSchema(f protoreflect.FieldDescriptor) schema {
	switch {
	case f.IsMap():
		value := kindSchema(f.MapValue())
		return schema{Type: "object", Additional: &value}
	case f.IsList():
		item := kindSchema(f)
		return schema{Type: "array", Items: &item}
	default:
		return kindSchema(f)
	}
}

// kindSchema follows the JSON mapping of protobuf.
func kindSchema(f protoreflect.FieldDescriptor) schema {
	switch f.Kind() {
	case protoreflect.StringKind:
		return schema{Type: "string"}
	case protoreflect.BoolKind:
		return schema{Type: "boolean"}
	case protoreflect.Uint64Kind:
		return schema{Type: "string", Format: "uint64"}
	case protoreflect.Uint32Kind:
		return schema{Type: "integer", Format: "int64"}
	case protoreflect.DoubleKind:
		return schema{Type: "number", Format: "double"}
	case protoreflect.EnumKind:
		return schema{Ref: reference(f.Enum())}
	case protoreflect.MessageKind:
		if strings.HasPrefix(string(f.Message().FullName()), "google.protobuf.Timestamp") {
			return schema{Type: "string", Format: "date-time"}
		}
		if f.Message().FullName() == "google.protobuf.Duration" {
			return schema{Type: "string"}
		}
		return schema{Ref: reference(f.Message())}
	default:
		return schema{Type: "a kind that this test does not know: " + f.Kind().String()}
	}
}

func matches(got, want schema) bool {
	if want.Ref != "" {
		return got.Ref == want.Ref
	}
	if got.Type != want.Type || got.Format != want.Format {
		return false
	}
	within := func(g, w *schema) bool { return (g == nil) == (w == nil) && (g == nil || matches(*g, *w)) }
	return within(got.Items, want.Items) && within(got.Additional, want.Additional)
}
