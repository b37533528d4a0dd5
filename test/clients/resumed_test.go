package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// polled answers a call by a stream that ends early, after an event's id, and has the rest
// for those who come back with that id: a server of these revisions may end a stream so.
type polled struct {
	u       *upstream
	resumed atomic.Int64
}

func (p *polled) begin(w http.ResponseWriter, r *http.Request) {
	var message struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		panic(http.ErrAbortHandler)
	}
	speaks(fmt.Sprintf("id: %[1]s_0\nretry: 50\ndata: \n\nid: %[1]s_1\n%[2]s", message.ID, progressEvent))(w, r)
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

// TestResumed: every SDK's client comes back, through Holdfast, for the rest of an answer
// whose stream its server has ended early, and gets it.
func TestResumed(t *testing.T) {
	w := startWorld(t)
	all := agents(words.Legacy)
	connect(t, all, "http://"+w.Gateway+"/sessions")
	p := &polled{u: w.sessions}
	rest := http.HandlerFunc(p.rest)
	w.sessions.streams.Store(&rest)
	w.sessions.set(&fault{"tools/call", p.begin})
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
}
