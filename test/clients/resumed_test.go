package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// polled begins the answer to a call, with events' ids, and has the rest for those who
// come back with the last one's.
type polled struct {
	u       *upstream
	resumed atomic.Int64
}

// begins says how far the stream of a call gets before it is over, and how that ends it:
// primed has an id and no message yet.
func (p *polled) begins(primed bool, end func(events string) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID json.RawMessage `json:"id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			panic(http.ErrAbortHandler)
		}
		events := fmt.Sprintf("id: %s_1\nretry: 50\ndata: \n\n", message.ID)
		if !primed {
			events = fmt.Sprintf("id: %[1]s_0\nretry: 50\ndata: \n\nid: %[1]s_1\n%[2]s", message.ID, progressEvent)
		}
		end(events)(w, r)
	}
}

func (p *polled) rest(w http.ResponseWriter, r *http.Request) {
	id, asked := strings.CutSuffix(r.Header.Get("Last-Event-Id"), "_1")
	if !asked {
		(*p.u.handler.Load()).ServeHTTP(w, r)
		return
	}
	p.resumed.Add(1)
	speaks(fmt.Sprintf("id: %[1]s_2\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%[1]s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"the rest\"}]}}\n\n", id))(w, r)
}

// wire stands between clients and the gateway, and sees how many connections have brought
// a word. It breaks those where it is to.
type wire struct {
	net.Listener
	gateway string
	word    []byte
	cuts    bool

	mu      sync.Mutex
	brought int
	// all is closed when the word has come as often as wanted.
	wanted int
	all    chan struct{}
}

func lay(t *testing.T, gateway, word string, wanted int, cuts bool) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &wire{Listener: listener, gateway: gateway, word: []byte(word), cuts: cuts, wanted: wanted, all: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go c.carry(client)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return c
}

func (c *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.gateway)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	var seen []byte
	chunk := make([]byte, 4<<10)
	for {
		n, err := server.Read(chunk)
		if _, werr := client.Write(chunk[:n]); err != nil || werr != nil {
			return
		}
		if seen = append(seen, chunk[:n]...); bytes.Contains(seen, c.word) && c.bring() {
			// As a network fails: no last word, on no layer.
			if tcp, ok := client.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		}
		seen = seen[max(0, len(seen)-len(c.word)+1):]
	}
}

// bring counts the word and says whether the connection is to break at it.
func (c *wire) bring() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.brought++; c.brought == c.wanted {
		close(c.all)
	}
	return c.cuts
}

// TestResumed: every SDK's client comes back, through Holdfast, for the rest of an answer
// whose stream has ended early or broken, whichever side it broke on, and gets it.
func TestResumed(t *testing.T) {
	t.Parallel()
	type how int
	const (
		ends how = iota
		serverBreaks
		clientBreaks
	)
	for _, c := range []struct {
		name string
		how  how
		// primed: the client has an event's id, and no message yet.
		primed bool
	}{
		{"the server ends the stream", ends, false},
		{"the server ends the stream before any message", ends, true},
		{"the server's connection breaks", serverBreaks, false},
		{"the server's connection breaks before any message", serverBreaks, true},
		{"the client's connection breaks", clientBreaks, false},
		{"the client's connection breaks before any message", clientBreaks, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWorld(t)
			all := agents(words.Legacy)
			wire := lay(t, w.Gateway, "_1\n", len(all), c.how == clientBreaks)
			connect(t, all, "http://"+wire.Addr().String()+"/sessions")
			p := &polled{u: w.sessions}
			rest := http.HandlerFunc(p.rest)
			w.sessions.streams.Store(&rest)
			w.sessions.set(&fault{"tools/call", p.begins(c.primed, func(events string) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) {
					speaks(events)(w, r)
					if c.how == ends {
						return
					}
					select {
					case <-wire.all:
						panic(http.ErrAbortHandler)
					case <-r.Context().Done():
					}
				}
			})})
			each(all, func(a *agent) {
				if got := a.Call("get_order", nil); !got.OK || got.Text != "the rest" {
					t.Errorf("%s: %+v", a, got)
				}
			})
			if n := p.resumed.Load(); n != int64(len(all)) {
				t.Errorf("%d streams were resumed, want %d", n, len(all))
			}
			w.sessions.set(nil)
			each(all, func(a *agent) {
				if got := a.Call("get_order", nil); got.Text != "good" {
					t.Errorf("%s after that: %+v", a, got)
				}
			})
		})
	}
}
