package store_test

import (
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-mcp/holdfast/pkg/control/store"
	"github.com/holdfast-mcp/holdfast/pkg/control/store/record"
)

// FuzzDecode: whatever a value holds, with a right checksum or not, reading it ends with what could have
// been written or with an error.
func FuzzDecode(f *testing.F) {
	digest := make([]byte, 32)
	for _, m := range []proto.Message{
		&record.Entry{Kind: "MCPServer", Name: "orders", Owner: 1, File: "a.yaml", Line: 3, Text: digest, Pinned: true, Overrides: digest},
		&record.Entry{Kind: "MCPServer", Name: "orders", Overrides: digest},
		&record.Undo{Was: []*record.Entry{{Kind: "MCPServer", Name: "orders", Owner: 2, Text: digest}}, Gone: []*record.Name{{Kind: "MCPRoute", Name: "r"}}},
		&record.Revision{Number: 7, Author: "directory", Changes: []string{"+ MCPServer/orders"}, Content: digest},
	} {
		body, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte("MCPServer\x00orders"), body, true)
		f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7}, body, true)
		f.Add([]byte("MCPServer\x00orders"), body, false)
	}
	f.Fuzz(func(t *testing.T, key, body []byte, sealed bool) {
		value := body
		if sealed {
			value = append(binary.BigEndian.AppendUint32(nil, store.Checksum(key, body)), body...)
		}
		_, entryErr := store.DecodeEntry(key, value)
		_, undoErr := store.DecodeUndo(key, value)
		header, _, headerErr := store.DecodeRevision(key, value)
		if !sealed && len(body) < 4 && (entryErr == nil || undoErr == nil || headerErr == nil) {
			t.Error("what is too short for a checksum was read")
		}
		if headerErr == nil && binary.BigEndian.Uint64(key) != header.Number {
			t.Errorf("revision %d is under the key %x", header.Number, key)
		}
	})
}
