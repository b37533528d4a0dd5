package clients

import (
	"os"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/testbed"
)

func TestMain(m *testing.M) { os.Exit(testbed.SideBySide(m)) }
