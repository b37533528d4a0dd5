package clients

import (
	"net/http"
	"testing"

	"github.com/holdfast-mcp/holdfast/test/thirdparty"
	"github.com/holdfast-mcp/holdfast/test/thirdparty/words"
)

// TestOpenedHalfway: what servers say to the messages by which a session is opened, after
// initialize, has the effect on each client through Holdfast that it has without.
func TestOpenedHalfway(t *testing.T) {
	t.Parallel()
	w := startWorld(t)
	initialized := func(answer http.HandlerFunc) func() {
		return func() { w.sessions.set(&fault{"notifications/initialized", answer}) }
	}
	stream := func(answer http.HandlerFunc) func() { return func() { w.sessions.streams.Store(&answer) } }
	for _, c := range []struct {
		name   string
		breaks func()
		// opens: every client does, and its calls are answered.
		opens bool
	}{
		{"no event stream", stream(says(405, "text/plain", "no streams here")), true},
		{"an event stream that is not found", stream(says(404, "text/plain", "404 page not found")), true},
		{"an event stream behind a broken proxy", stream(says(502, "text/html", "<h1>bad gateway</h1>")), true},
		{"an event stream that ends at once", stream(speaks(": hello\n\n")), true},
		{"initialized is answered", initialized(says(200, "application/json", "{}")), true},
		{"initialized is refused", initialized(says(503, "text/plain", "later")), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.breaks()
			direct, through := agents(words.Legacy), agents(words.Legacy)
			open := func(all []*agent, url string) []bool {
				opened := make([]bool, len(all))
				for _, a := range all {
					a.Client = thirdparty.Open(t, a.kind)
				}
				index := map[*agent]int{}
				for i, a := range all {
					index[a] = i
				}
				each(all, func(a *agent) {
					got := a.Connect(url, a.era)
					if opened[index[a]] = got.OK; got.OK {
						if called := a.Call("get_order", nil); called.Text != "good" {
							t.Errorf("%s: %+v", a, called)
						}
					}
				})
				return opened
			}
			without := open(direct, w.sessions.URL+"/mcp")
			for i, opened := range open(through, "http://"+w.Gateway+"/sessions") {
				if opened != without[i] || c.opens && !opened {
					t.Errorf("%s opens: %v, without Holdfast %v", through[i], opened, without[i])
				}
			}
			w.sessions.set(nil)
			w.sessions.streams.Store(nil)
		})
	}
}
