package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	adminv1 "github.com/holdfast-mcp/holdfast/api/admin/v1"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient"
	"github.com/holdfast-mcp/holdfast/pkg/apiclient/envoyadmin"
	"github.com/holdfast-mcp/holdfast/pkg/demo"
	"github.com/holdfast-mcp/holdfast/pkg/drill"
	"github.com/holdfast-mcp/holdfast/pkg/supervise"
	"github.com/holdfast-mcp/holdfast/pkg/supervise/stack"
)

// Stack is what `holdfast up` runs. Make one with NewStack, end it with Close.
type Stack struct {
	info   *stack.RunInfo
	remote supervise.Remote
	envoy  *envoyadmin.Client
	plane  *apiclient.Client
	// primary is the orders server that calls go to, region all that are in its region.
	primary string
	region  []string
	hold    time.Duration
}

// NewStack is for the drills on a running stack. Calls go to the first of the demo's orders servers. hold is how long a drill
// lasts, which a paused Redis has to know.
func NewStack(info *stack.RunInfo, hold time.Duration) (*Stack, error) {
	s := &Stack{info: info, remote: supervise.Remote{Socket: info.Control}, hold: hold}
	for _, place := range demo.Places() {
		if _, runs := info.Demo[place.Name]; !runs {
			continue
		}
		if s.primary == "" && place.Server == demo.Orders {
			s.primary = place.Name
		}
	}
	if s.primary == "" {
		return nil, errors.New("the drills need the demo server of orders, and 'holdfast up' runs it only for a configuration that names its address")
	}
	for name, server := range info.Demo {
		if server.Region == info.Demo[s.primary].Region {
			s.region = append(s.region, name)
		}
	}
	slices.Sort(s.region)
	var err error
	if s.envoy, err = envoyadmin.New(info.EnvoyAdmin); err != nil {
		return nil, fmt.Errorf("asking Envoy: %w", err)
	}
	if s.plane, err = apiclient.New(apiclient.Options{Server: "http://" + info.XDSAdmin}); err != nil {
		return nil, fmt.Errorf("asking the control plane: %w", err)
	}
	return s, nil
}

// Close ends connections.
func (s *Stack) Close() {
	s.envoy.Close()
	s.plane.Close()
}

// Runs counts the executions of calls in the journals of the demo servers.
func (s *Stack) Runs() (map[string]int, error) {
	var paths []string
	for _, server := range s.info.Demo {
		paths = append(paths, server.Journal)
	}
	return demo.CountByCall(paths...) //nolint:wrapcheck // it says which journal
}

// Fault is that of the drill of that name; the error says why it cannot be played here.
func (s *Stack) Fault(kind string) (drill.Fault, error) {
	at := "in " + s.info.Demo[s.primary].Region
	switch kind {
	case drill.RegionLoss:
		return s.kills(s.region, s.notices(s.region...)), nil
	case drill.Crash, drill.Flapping:
		return s.kills([]string{s.primary}, s.notices(s.primary)), nil
	case drill.Hang:
		f := s.acts([]string{s.primary}, supervise.ActionPause, supervise.ActionContinue)
		f.Does, f.Undoes, f.Noticed = s.primary+" was stopped by a signal, with its connections open", s.primary+" went on", s.notices(s.primary)
		return f, nil
	case drill.Slow:
		f := s.faults(demo.Faults{}, "takes ten times as long "+at)
		f.BreakBy = func(ctx context.Context, usual time.Duration) error {
			slow := demo.Faults{Mode: demo.FaultSlow, Delay: longer(usual).String()}
			return demo.PutFaults(ctx, s.info.Demo[s.primary].Control, slow) //nolint:wrapcheck // it says where
		}
		return f, nil
	case drill.Errors5xx:
		return s.faults(demo.Faults{Mode: demo.FaultHTTP500}, "answers every call with status 500 "+at), nil
	case drill.MCPErrors:
		return s.faults(demo.Faults{Mode: demo.FaultRPCError}, "answers every call with status 200 and error -32603 "+at), nil
	case drill.BrokenSSE:
		return s.faults(demo.Faults{Mode: demo.FaultEarlyEOF}, "ends every answer before it has said anything "+at), nil
	case drill.ControlPlaneLoss:
		return s.kills([]string{stack.XDSName}, s.processorsSay), nil
	case drill.ExtprocLoss:
		if len(s.info.Processors) < 2 { //nolint:mnd // the one that is lost and one that is left
			return drill.Fault{}, errors.New("one processor runs here, and none would be left: start with --processors 2")
		}
		return s.kills([]string{stack.ExtprocName(1)}, s.envoySees(s.info.Processors[0])), nil
	case drill.RedisLoss:
		return s.redis()
	default:
		return drill.Fault{}, errors.New("all programs here have the clock of this machine: break it by a command that sets the clock of a machine with a processor")
	}
}

func (s *Stack) kills(names []string, noticed func(context.Context) (string, error)) drill.Fault {
	f := s.acts(names, supervise.ActionKill, supervise.ActionStart)
	was, were := strings.Join(names, " and ")+" was killed", "it was started again"
	if len(names) > 1 {
		was, were = strings.Join(names, " and ")+" were killed", "they were started again"
	}
	f.Does, f.Undoes, f.Noticed = was, were, noticed
	return f
}

// acts does one thing to some children, and the other to those of them that need it.
func (s *Stack) acts(names []string, harm, mend supervise.Action) drill.Fault {
	return drill.Fault{
		Break: func(ctx context.Context) error {
			return s.each(ctx, names, harm, func(supervise.State) bool { return true })
		},
		Mend: func(ctx context.Context) error {
			return s.each(ctx, names, mend, func(state supervise.State) bool {
				return state == supervise.StateDead || state == supervise.StateStopped || state == supervise.StatePaused
			})
		},
	}
}

// each acts on those of the named children whose state asks for it, all at the same time.
func (s *Stack) each(ctx context.Context, names []string, action supervise.Action, needs func(supervise.State) bool) error {
	children, err := s.remote.Children(ctx)
	if err != nil {
		return fmt.Errorf("asking what runs: %w", err)
	}
	errs := make(chan error, len(children))
	acting := 0
	for _, child := range children {
		if !slices.Contains(names, child.Name) || !needs(child.State) {
			continue
		}
		acting++
		go func() {
			_, err := s.remote.Do(ctx, child.Name, action)
			if err != nil {
				err = fmt.Errorf("%s of %s: %w", action, child.Name, err)
			}
			errs <- err
		}()
	}
	var all []error
	for range acting {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

func (s *Stack) faults(f demo.Faults, does string) drill.Fault {
	put := func(f demo.Faults) func(context.Context) error {
		return func(ctx context.Context) error {
			return demo.PutFaults(ctx, s.info.Demo[s.primary].Control, f) //nolint:wrapcheck // it says where
		}
	}
	return drill.Fault{
		Does: s.primary + " " + does, Undoes: s.primary + " answers as it should",
		Break: put(f), Mend: put(demo.Faults{}), Noticed: s.notices(s.primary),
	}
}

// notices asks Envoy and the breakers about demo servers.
func (s *Stack) notices(names ...string) func(context.Context) (string, error) {
	var addresses []string
	for _, name := range names {
		addresses = append(addresses, s.info.Demo[name].Address)
	}
	ask := s.envoySees(addresses...)
	return func(ctx context.Context) (string, error) {
		if by, err := ask(ctx); err != nil || by != "" {
			return by, err
		}
		status, err := s.plane.Status(ctx, &adminv1.StatusRequest{})
		if err != nil {
			return "", err //nolint:wrapcheck // in words already
		}
		for _, b := range status.GetBreakers() {
			if !b.GetHeld() && b.GetState() != adminv1.BreakerState_BREAKER_STATE_CLOSED && b.GetRegion() == s.info.Demo[s.primary].Region {
				return "the breaker of " + b.GetTool() + " in " + b.GetRegion(), nil
			}
		}
		return "", nil
	}
}

// envoySees asks Envoy about endpoints by their addresses.
func (s *Stack) envoySees(addresses ...string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		health, err := s.envoy.Clusters(ctx)
		if err != nil {
			return "", err //nolint:wrapcheck // in words already
		}
		for _, h := range health {
			if slices.Contains(addresses, h.Address) && h.State != envoyadmin.Healthy {
				return "Envoy's " + h.By, nil
			}
		}
		return "", nil
	}
}

// redis pauses the one that the processors share: it takes connections and answers nothing. It goes on by
// itself, whatever becomes of the drill.
func (s *Stack) redis() (drill.Fault, error) {
	if s.info.Redis == "" {
		return drill.Fault{}, errors.New("no Redis is in use here: start with --redis")
	}
	with := func(do func(context.Context, *redis.Client) error) func(context.Context) error {
		return func(ctx context.Context) error {
			client := redis.NewClient(&redis.Options{Addr: s.info.Redis, MaxRetries: -1, DisableIdentity: true, ReadTimeout: s.hold + commandTimeout})
			err := do(ctx, client)
			if err != nil {
				err = fmt.Errorf("redis at %s: %w", s.info.Redis, err)
			}
			return errors.Join(err, client.Close())
		}
	}
	return drill.Fault{
		Does: "the Redis at " + s.info.Redis + " was paused, with its connections open", Undoes: "it went on", Noticed: s.processorsSay,
		Break: with(func(ctx context.Context, c *redis.Client) error {
			return c.Do(ctx, "CLIENT", "PAUSE", s.hold.Milliseconds(), "ALL").Err()
		}),
		Mend: with(func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() }),
	}, nil
}
