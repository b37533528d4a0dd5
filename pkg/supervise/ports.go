package supervise

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// Ports hands out listen addresses and holds each of them until the program that
// is to listen there is about to start, so that no address is given out twice.
// It is safe for concurrent use; the zero value is ready.
type Ports struct {
	mu   sync.Mutex
	held map[string]net.Listener
}

const (
	// portStep and portTries: a busy 10000 is moved to 10010, 10020, … before any
	// free port will do.
	portStep  = 10
	portTries = 20
)

// Reserve holds preferred, host:port, or where that is taken another port of the
// same host. moved says that it is another one. Port 0 takes any free port and
// is never moved.
func (p *Ports) Reserve(preferred string) (address string, moved bool, err error) {
	host, port, err := net.SplitHostPort(preferred)
	if err != nil {
		return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
	}
	for i := range portTries {
		candidate := int(first) + i*portStep
		if candidate > 65535 {
			break
		}
		address, err = p.hold(net.JoinHostPort(host, strconv.Itoa(candidate)))
		if err == nil {
			return address, i > 0, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
		}
	}
	address, err = p.hold(net.JoinHostPort(host, "0"))
	if err != nil {
		return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
	}
	return address, true, nil
}

func (p *Ports) hold(address string) (string, error) {
	listener, err := net.Listen("tcp", address) //nolint:noctx // returns at once
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = map[string]net.Listener{}
	}
	address = listener.Addr().String()
	p.held[address] = listener
	return address, nil
}

// Release gives the addresses up to the program that is about to listen there.
// Addresses that are not held are passed over.
func (p *Ports) Release(addresses ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, address := range addresses {
		if listener, ok := p.held[address]; ok {
			_ = listener.Close()
			delete(p.held, address)
		}
	}
}

// ReleaseAll gives up every address.
func (p *Ports) ReleaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address, listener := range p.held {
		_ = listener.Close()
		delete(p.held, address)
	}
}
