package snapshot

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/holdfast-mcp/holdfast/pkg/model"
)

// Builder builds as Build does, and gives the very same messages again for what is equal to
// something that it has built before: a whole model (such as that of a region which
// orders nothing in its own way), the routes, or a server. Messages of a Builder must
// therefore not be changed, and may be compared by identity.
//
// The zero Builder is ready. It is safe for concurrent use.
type Builder struct {
	mu sync.Mutex
	// generation counts the calls of Forget.
	generation int
	models     []*builtModel
	servers    map[string][]*builtServer
}

// serverInput is all that the resources of a server are made from.
type serverInput struct {
	server  model.Server
	gateway gatewayInput
}

// gatewayInput is what the gateway says that servers' resources are made from.
type gatewayInput struct {
	maxBody          uint32
	processorTimeout time.Duration
}

// serverOutput is what is made of it. invalid is what the messages' own rules say.
type serverOutput struct {
	cluster   *clusterv3.Cluster
	endpoints *endpointv3.ClusterLoadAssignment
	invalid   error
}

type builtServer struct {
	in  serverInput
	out *serverOutput
	// used is the generation that asked for it last.
	used int
}

type builtModel struct {
	in   *model.Model
	out  *Resources
	used int
}

// Build makes the resources of a model; see the function of this name.
func (b *Builder) Build(m *model.Model) (*Resources, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, known := range b.models {
		if sameElsewhere(known.in, m) {
			known.used = b.generation
			return known.out, nil
		}
	}
	out, err := build(m, b.server)
	if err != nil {
		return nil, err
	}
	b.models = append(b.models, &builtModel{m, out, b.generation})
	return out, nil
}

// Forget lets go of what no call of Build has asked for since the second last call of Forget:
// what a build that failed did not come to is still there for the next one.
func (b *Builder) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.models = slices.DeleteFunc(b.models, func(m *builtModel) bool { return m.used+1 < b.generation })
	for name, all := range b.servers {
		kept := slices.DeleteFunc(all, func(s *builtServer) bool { return s.used+1 < b.generation })
		if b.servers[name] = kept; len(kept) == 0 {
			delete(b.servers, name)
		}
	}
	b.generation++
}

// sameElsewhere says that two models are equal but for the name of the region, of which no
// resource is made.
func sameElsewhere(a, b *model.Model) bool {
	other := *b
	other.Region = a.Region
	return reflect.DeepEqual(a, &other)
}

func (b *Builder) server(in serverInput) (*serverOutput, error) {
	for _, known := range b.servers[in.server.Name] {
		if reflect.DeepEqual(known.in, in) {
			known.used = b.generation
			return known.out, nil
		}
	}
	out, err := buildServer(in)
	if err != nil {
		return nil, err
	}
	if b.servers == nil {
		b.servers = map[string][]*builtServer{}
	}
	b.servers[in.server.Name] = append(b.servers[in.server.Name], &builtServer{in, out, b.generation})
	return out, nil
}

func buildServer(in serverInput) (*serverOutput, error) {
	c, err := serverCluster(in.server, in.gateway)
	if err != nil {
		return nil, err
	}
	cla := loadAssignment(in.server, ServiceName(c))
	return &serverOutput{cluster: c, endpoints: cla, invalid: errors.Join(
		valid("cluster", c.GetName(), c), valid("endpoints", cla.GetClusterName(), cla),
	)}, nil
}

// Remembered says how many models and servers there are that could be used again.
func (b *Builder) Remembered() (models, servers int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, all := range b.servers {
		servers += len(all)
	}
	return len(b.models), servers
}
