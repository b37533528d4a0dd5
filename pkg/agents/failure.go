package agents

import (
	"errors"

	"github.com/go-json-experiment/json"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
)

// readError takes Holdfast's words out of a JSON-RPC error.
func (a *Answer) readError() {
	var said *jsonrpc.Error
	if !errors.As(a.Err, &said) || len(said.Data) == 0 {
		return
	}
	var data struct {
		Code    string `json:"code"`
		Outcome string `json:"outcome"`
	}
	if json.Unmarshal(said.Data, &data) == nil { // a server may say anything there
		a.Code, a.Outcome = data.Code, data.Outcome
	}
}
