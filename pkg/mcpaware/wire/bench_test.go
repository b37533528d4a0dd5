package wire_test

import (
	"strings"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

func call(argumentBytes int) []byte {
	return []byte(`{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}},` +
		`"name":"get_order","arguments":{"order_id":"` + strings.Repeat("x", argumentBytes) + `"}}}`)
}

func BenchmarkParseRequest(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"300B", 10}, {"10KiB", 10 << 10}, {"1MiB", 1 << 20}} {
		body := call(size.bytes)
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, fault := wire.ParseRequest(body); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}

func BenchmarkParseAnswer(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":42,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 200) + `"}],"structuredContent":{"status":"SHIPPED"}}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, fault := wire.ParseAnswer(body); fault != nil {
			b.Fatal(fault)
		}
	}
}

func BenchmarkSpliceMeta(b *testing.B) {
	body := []byte(`{"jsonrpc":"2.0","id":42,"result":{"content":[{"type":"text","text":"` + strings.Repeat("x", 200) + `"}]}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.SpliceMeta(body, "holdfast/via", []byte(`"primary-mumbai"`)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEventStream(b *testing.B) {
	event := []byte("event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"" + strings.Repeat("x", 200) + "\"}]}}\n\n")
	stream := wire.NewEventStream(1 << 20)
	b.ReportAllocs()
	b.SetBytes(int64(len(event)))
	for b.Loop() {
		if events, err := stream.Feed(event); err != nil || len(events) != 1 {
			b.Fatal(len(events), err)
		}
	}
}
