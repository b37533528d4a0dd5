package api

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
)

// TestMessagesAreReadStrictly: what cannot be understood as a whole changes nothing.
func TestMessagesAreReadStrictly(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	extra := protowire.AppendVarint(protowire.AppendTag(nil, 4000, protowire.VarintType), 1)
	documents := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "kind: x")
	ref := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), extra)
	for _, c := range []struct{ name, contentType, body, want string }{
		{"unknown field", "application/json", `{"documents": "x", "dry_runn": true}`, `unknown field "dry_runn"`},
		{"other case", "application/json", `{"documents": "x", "DryRun": true}`, "unknown field"},
		{"within", "application/json", `{"documents": "x", "remove": [{"kind": "a", "name": "b", "x": 1}]}`, "unknown field"},
		{"duplicate", "application/json", `{"documents": "x", "documents": "y"}`, "duplicate field"},
		{"two spellings", "application/json", `{"documents": "x", "dryRun": true, "dry_run": false}`, "duplicate field"},
		{"trailing", "application/json", `{"documents": "x"} {"documents": "y"}`, "unexpected token"},
		{"byte order mark", "application/json", "\ufeff{}", "invalid value"},
		{"bad UTF-8", "application/json", "{\"documents\": \"\xff\"}", "invalid UTF-8"},
		{"lone surrogate", "application/json", `{"documents": "\ud800"}`, ""},
		{"array", "application/json", `[]`, "unexpected token"},
		{"null", "application/json", `null`, "unexpected token"},
		{"empty", "application/json", ``, "send {}"},
		{"string for a flag", "application/json", `{"documents": "x", "dryRun": "true"}`, "invalid value"},
		{"negative", "application/json", `{"documents": "x", "baseRevision": -1}`, "invalid value"},
		{"fraction", "application/json", `{"documents": "x", "baseRevision": 1.5}`, "invalid value"},
		{"deep", "application/json", strings.Repeat(`{"ref":`, 1000), ""},
		{"unknown field in protobuf", "application/proto", string(slices.Concat(documents, extra)), "does not know"},
		{"unknown field within", "application/proto", string(slices.Concat(documents, ref)), "does not know"},
		{"cut protobuf", "application/proto", string(documents[:4]), ""},
		{"bad UTF-8 in protobuf", "application/proto", "\x0a\x01\xff", "UTF-8"},
	} {
		got := w.post(t, "Apply", c.contentType, c.body)
		if got.Code != "invalid_argument" || !strings.Contains(got.Message, c.want) {
			t.Errorf("%s: %d %s, want %q", c.name, got.status, got.body, c.want)
		}
	}
	if w.backend.count() != 0 {
		t.Error("something was written")
	}
}

// TestDecodingErrorsAreShort: parsers repeat what they dislike.
func TestDecodingErrorsAreShort(t *testing.T) {
	w := serve(t, &fake{}, ListenOptions{})
	got := w.post(t, "Apply", "application/json", `{"dryRun": "`+strings.Repeat("secret ", 100_000)+`"}`)
	if got.Code != "invalid_argument" || len(got.body) > 2*maxDecodingErrorBytes {
		t.Fatalf("%d bytes: %.200s", len(got.body), got.body)
	}
}

func TestCodecTakesMessagesOnly(t *testing.T) {
	for _, c := range []codec{{name: "json", json: true}, {name: "proto"}} {
		if _, err := c.Marshal("x"); err == nil {
			t.Error("a string was marshalled")
		}
		if err := c.Unmarshal([]byte("{}"), new(string)); err == nil {
			t.Error("a string was unmarshalled")
		}
	}
	data, err := codec{json: true}.Marshal(&adminv1.StatusResponse{})
	if err != nil || !strings.Contains(squeezed(string(data)), `"ready":false`) {
		t.Errorf("%s %v: zero values are not written", data, err)
	}
}
