package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/control"
	"github.com/holdfast-mcp/holdfast/pkg/control/revision"
	"github.com/holdfast-mcp/holdfast/pkg/control/source"
	"github.com/holdfast-mcp/holdfast/pkg/model"
	"github.com/holdfast-mcp/holdfast/test/testbed"
)

// takeOver puts a control plane of this process in the place of a Bed's, over the same state, so that a test
// can say itself what is measured. away ends it.
func takeOver(t *testing.T, b *testbed.Bed) (plane *control.Plane, away func()) {
	t.Helper()
	b.Kill(testbed.XDS)
	var listener net.Listener
	b.Eventually(testbed.Patience, "the control plane's address is free", func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", b.XDSAddress)
		return err
	})
	plane, err := control.New(control.Options{
		ConfigDir: b.ConfigDir(), StateDir: filepath.Join(b.Dir, "xds"),
		Compiler: revision.Compiler{Processors: []string{
			"unix://" + filepath.Join(b.Dir, testbed.Extproc1+".sock"), "unix://" + filepath.Join(b.Dir, testbed.Extproc2+".sock"),
		}},
		Source: source.Options{Debounce: 50 * time.Millisecond},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(ctx, listener) }()
	away = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the control plane: %v", err)
		}
	})
	t.Cleanup(away)
	b.Until(testbed.Patience, "everybody is connected to it", func() bool {
		s := plane.Status()
		return s.Ready && len(s.Nodes) == 3 && s.Revision.Phase == "done"
	})
	return plane, away
}

// asCaller makes a call of one of many callers, and says which region answered, or what was said instead.
func asCaller(b *testbed.Bed, n int, tool string) string {
	header := testbed.ModernHeaders("tools/call", tool)
	header.Set("Authorization", fmt.Sprint("Bearer ", n))
	answer, err := b.Post("/mcp", header, testbed.CallTool("1", tool, "{}"))
	if err != nil {
		return err.Error()
	}
	if region := answer.Header.Get("x-holdfast-region"); region != "" && answer.Header.Get("x-holdfast-degraded") == "" {
		return region
	}
	return fmt.Sprintf("%d %.300s", answer.Status, answer.Body)
}

// spread is what became of one call of each of n callers.
func spread(b *testbed.Bed, n int, tool string) (regions map[string]int, of []string) {
	regions, of = map[string]int{}, make([]string, n)
	each(n, func(i int) { of[i] = asCaller(b, i, tool) })
	for _, region := range of {
		regions[region]++
	}
	return regions, of
}

func shareOf(region string, away int) model.Health {
	return model.Health{Shares: map[string]int{region: away}}
}

// TestSharesOfCallers: a share of callers leaves a region, the same ones while it grows and shrinks; they go
// back only where nothing else is up. Shares stay while the control plane is away, also for a processor that
// starts then.
func TestSharesOfCallers(t *testing.T) {
	t.Parallel()
	const callers = 400
	p := startTrio(t)
	plane, away := takeOver(t, p.Bed)
	count := func() (map[string]int, []string) { return spread(p.Bed, callers, "get_order") }
	expect := func(share, margin int) []string {
		t.Helper()
		plane.SetHealth("orders", shareOf(testbed.Mumbai, share))
		var of []string
		p.Eventually(testbed.Patience, fmt.Sprintf("%d %% of callers are in Delhi", share), func() error {
			var got map[string]int
			got, of = count()
			if moved := 100 * got[testbed.Delhi] / callers; moved < share-margin || moved > share+margin || got[testbed.Delhi]+got[testbed.Mumbai] != callers {
				return fmt.Errorf("%v", got)
			}
			// Not while one processor knows and the other does not.
			if _, again := count(); fmt.Sprint(again) != fmt.Sprint(of) {
				return errors.New("callers go to and fro")
			}
			return nil
		})
		return of
	}
	if got, _ := count(); got[testbed.Mumbai] != callers {
		t.Fatalf("before: %v", got)
	}
	first := expect(30, 8)
	second := expect(70, 8)
	third := expect(50, 8)
	for i := range callers {
		if first[i] == testbed.Delhi && second[i] != testbed.Delhi || third[i] == testbed.Delhi && second[i] != testbed.Delhi || first[i] == testbed.Delhi && third[i] != testbed.Delhi {
			t.Fatalf("caller %d: %s, %s, %s", i, first[i], second[i], third[i])
		}
	}
	expect(100, 0)
	away()
	if got, _ := count(); got[testbed.Delhi] != callers {
		t.Errorf("with the control plane away: %v", got)
	}
	for _, name := range []string{testbed.Extproc1, testbed.Extproc2} {
		p.Kill(name)
		p.Restart(name)
	}
	p.Eventually(testbed.Patience, "processors that started without a control plane do the same", func() error {
		if got, _ := count(); got[testbed.Delhi] != callers {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	// Envoy's own reactions go on: with Delhi and Singapore gone, those who were sent away are back.
	p.delhi.CloseClientConnections()
	p.delhi.Listener.Close()
	p.singapore.CloseClientConnections()
	p.singapore.Listener.Close()
	p.Eventually(testbed.Patience, "with nothing else up Mumbai answers all", func() error {
		if got, _ := count(); got[testbed.Mumbai] != callers {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
}

// TestHealthOfEndpoints: weights and states reach Envoy, and no call is lost on the way.
func TestHealthOfEndpoints(t *testing.T) {
	t.Parallel()
	p := startTrio(t)
	plane, _ := takeOver(t, p.Bed)
	is := func(what string, h model.Health, want string) {
		t.Helper()
		plane.SetHealth("orders", h)
		lost := map[string]int{}
		p.Eventually(testbed.Patience, what, func() error {
			got, _ := spread(p.Bed, 20, "get_order")
			for region := range got {
				if !strings.HasPrefix(region, "asia-") {
					lost[region]++
				}
			}
			if got[want] != 20 {
				return fmt.Errorf("%v", got)
			}
			return nil
		})
		if len(lost) > 0 {
			t.Errorf("%s: lost %v", what, lost)
		}
	}
	type eps = map[string]model.EndpointHealth
	is("an unhealthy endpoint gets none", model.Health{Endpoints: eps{"mumbai": {State: model.Unhealthy}}}, testbed.Delhi)
	is("nor does a drained one", model.Health{Endpoints: eps{"mumbai": {State: model.Draining}}}, testbed.Delhi)
	is("nor a degraded one beside healthy ones", model.Health{Endpoints: eps{"mumbai": {State: model.Degraded}}}, testbed.Delhi)
	is("degraded ones are better than none", model.Health{Endpoints: eps{"mumbai": {State: model.Degraded}, "delhi": {State: model.Unhealthy}, "singapore": {State: model.Unhealthy}}}, testbed.Mumbai)
	is("back", model.Health{}, testbed.Mumbai)
}

// TestDrainedRegion: nothing new begins in a drained region, its sessions go on there until their time is over.
func TestDrainedRegion(t *testing.T) {
	t.Parallel()
	s := startSessions(t, "activePassive", "")
	inside := s.connect(t, "sdk")
	at, err := inside.where(t.Context())
	if err != nil || !strings.Contains(owner(at), "mumbai") {
		t.Fatalf("session at %q: %v", at, err)
	}
	plane, _ := takeOver(t, s.Bed)
	drain := func(sessions time.Duration) {
		t.Helper()
		if _, err := plane.Backend().SetDrain(t.Context(), &adminv1.SetDrainRequest{Target: testbed.Mumbai, Sessions: durationpb.New(sessions)}, "asha"); err != nil {
			t.Fatal(err)
		}
	}
	drain(time.Hour)
	s.Eventually(testbed.Patience, "new sessions begin in Delhi", func() error {
		now, err := s.connect(t, "sdk").where(t.Context())
		if err == nil && !strings.Contains(owner(now), "delhi") {
			err = fmt.Errorf("in %q", now)
		}
		return err
	})
	for range 5 {
		if now, err := inside.where(t.Context()); err != nil || now != at {
			t.Errorf("the session that was there: %q, %v", now, err)
		}
	}
	drain(0)
	s.Eventually(testbed.Patience, "its session is over", func() error {
		if now, err := inside.where(t.Context()); err == nil {
			return fmt.Errorf("still at %q", now)
		}
		return nil
	})
}
