package catalog

import (
	"errors"
	"fmt"

	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/method"
	"github.com/holdfast-mcp/holdfast/pkg/mcpaware/wire"
)

// MaxResultBytes bounds one remembered result.
const MaxResultBytes = 1 << 20

// ErrEmptyList says that a result lists nothing. Such a list is not remembered: a
// server that has lost its tools must not push out the time when it had them.
var ErrEmptyList = errors.New("the list is empty")

// Acceptable says whether a result is whole and good enough to stand in for its server
// later: the answer to a method that is remembered (the lists and server/discover), an
// object of at most MaxResultBytes whose type, if it has one, is "complete", with the
// method's array in it, and that not empty. The error says what is wrong.
func Acceptable(methodName string, result []byte) error {
	info, ok := method.Lookup(methodName)
	switch {
	case !ok || info.List == "":
		return fmt.Errorf("answers to %q are not remembered", methodName)
	case len(result) > MaxResultBytes:
		return fmt.Errorf("the result has %d bytes, more than %d", len(result), MaxResultBytes)
	case !wire.Valid(result):
		return errors.New("the result is not JSON")
	}
	if kind, ok := wire.Find(result, "resultType"); ok && string(kind) != `"complete"` {
		return errors.New("the result is not complete")
	}
	if isError, ok := wire.Find(result, "isError"); ok && string(isError) != "false" {
		return errors.New("the result is an error")
	}
	list, ok := wire.Find(result, info.List)
	if !ok || list.Kind() != '[' {
		return fmt.Errorf("the result has no array %q", info.List)
	}
	if _, ok := wire.Find(list, "0"); !ok {
		return ErrEmptyList
	}
	return nil
}
