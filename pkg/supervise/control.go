package supervise

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// Action is what a control request does to a child.
type Action string

// Values of Action, as in Child's methods.
const (
	ActionStart    Action = "start"
	ActionStop     Action = "stop"
	ActionKill     Action = "kill"
	ActionPause    Action = "pause"
	ActionContinue Action = "continue"
)

// Controlled is the answer to a control request.
type Controlled struct {
	// At is when the action took effect: for a kill the moment just before the
	// signal, for a start the moment when the child was ready.
	At    time.Time `json:"at"`
	Child Status    `json:"child"`
}

// Control lets whoever reaches it act on the named children of s: GET
// /v1/children lists all children, POST /v1/children/{name}/{action} acts on one, and POST
// /v1/children/{name}/lend answers at once, and when its caller has gone, however that ended, starts the child where
// it is not running and continues it where it is paused.
// It is meant for a unix socket that only the operator can open.
func Control(s *Supervisor, names []string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/children", func(w http.ResponseWriter, _ *http.Request) {
		all := []Status{}
		for _, child := range s.Children() {
			all = append(all, child.Status())
		}
		writeJSON(w, all)
	})
	controlled := func(w http.ResponseWriter, r *http.Request) (*Child, bool) {
		name := r.PathValue("name")
		child, ok := s.Child(name)
		if !ok || !slices.Contains(names, name) {
			http.Error(w, fmt.Sprintf("there is no child %q that can be controlled", name), http.StatusNotFound)
			return nil, false
		}
		return child, true
	}
	mux.HandleFunc("POST /v1/children/{name}/lend", func(w http.ResponseWriter, r *http.Request) {
		if child, ok := controlled(w, r); ok {
			lend(w, r, child)
		}
	})
	mux.HandleFunc("POST /v1/children/{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		child, ok := controlled(w, r)
		if !ok {
			return
		}
		at, err := act(r.Context(), child, Action(r.PathValue("action")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		writeJSON(w, Controlled{At: at, Child: child.Status()})
	})
	return mux
}

// lend waits for the caller's end, and puts right what it has left behind.
func lend(w http.ResponseWriter, r *http.Request, child *Child) {
	control := http.NewResponseController(w)
	// The server's bound on reading a request would end the wait.
	if err := errors.Join(control.SetReadDeadline(time.Time{}), control.Flush()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	<-r.Context().Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), remoteTimeout)
	defer cancel()
	var err error
	switch child.Status().State {
	case StateStopped, StateDead:
		err = child.Start(ctx)
	case StatePaused:
		err = child.Continue()
	case StateStarting, StateReady, StateWaiting:
		return
	}
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrRunning) {
		child.emit(Event{Kind: RestartFailed, Err: err})
	}
}

func act(ctx context.Context, child *Child, action Action) (time.Time, error) {
	var err error
	switch action {
	case ActionKill:
		return child.Kill()
	case ActionStart:
		err = child.Start(ctx)
	case ActionStop:
		err = child.Stop(ctx)
	case ActionPause:
		err = child.Pause()
	case ActionContinue:
		err = child.Continue()
	default:
		err = fmt.Errorf("there is no action %q", action)
	}
	return time.Now(), err
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // whoever asked may be gone
}

// Remote speaks to a Control handler on a unix socket. It is safe for concurrent use.
type Remote struct {
	// Socket is the path of the unix socket.
	Socket string
}

const (
	remoteTimeout = 30 * time.Second
	maxRemoteBody = 1 << 20
)

// ErrRefused is in the error of a request that the control handler refused.
var ErrRefused = errors.New("refused")

// Children returns the status of all children, in order of start.
func (r Remote) Children(ctx context.Context) ([]Status, error) {
	var out []Status
	return out, r.ask(ctx, http.MethodGet, "/v1/children", &out)
}

// Do acts on the child of that name.
func (r Remote) Do(ctx context.Context, name string, action Action) (Controlled, error) {
	var out Controlled
	path := "/v1/children/" + url.PathEscape(name) + "/" + url.PathEscape(string(action))
	return out, r.ask(ctx, http.MethodPost, path, &out)
}

// Lend has the child of that name put right, as Control's lend does, when release is called or the process ends,
// in whatever way.
func (r Remote) Lend(ctx context.Context, name string) (release func(), err error) {
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	transport := r.transport()
	release = func() {
		cancel()
		transport.CloseIdleConnections()
	}
	transport.ResponseHeaderTimeout = remoteTimeout
	req, err := http.NewRequestWithContext(held, http.MethodPost, "http://control/v1/children/"+url.PathEscape(name)+"/lend", http.NoBody)
	if err != nil {
		release()
		return nil, fmt.Errorf("asking the supervisor: %w", err)
	}
	resp, err := transport.RoundTrip(req) //nolint:bodyclose // it is held until release, which ends it
	if err != nil {
		release()
		return nil, fmt.Errorf("asking the supervisor: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		release()
		return nil, fmt.Errorf("the supervisor %w to lend %s: status %d", ErrRefused, name, resp.StatusCode)
	}
	return release, nil
}

func (r Remote) transport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", r.Socket)
		},
	}
}

func (r Remote) ask(ctx context.Context, method, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	transport := r.transport()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://control"+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRemoteBody))
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the supervisor %w it: %s", ErrRefused, bytes.TrimSpace(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading the supervisor's answer: %w", err)
	}
	return nil
}
