package stack_test

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack/stacktest"
)

// TestRedisAnswers shows that tests of limits and sessions get a real Redis.
func TestRedisAnswers(t *testing.T) {
	address, _ := stacktest.StartRedis(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("it said %q, %v", line, err)
	}
}
