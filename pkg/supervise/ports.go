package supervise

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

// Ports hands out listen addresses and holds each of them until the program that
// is to listen there is about to start, so that no address is given out twice.
// It is safe for concurrent use; the zero value is ready, and Close ends it.
type Ports struct {
	mu    sync.Mutex
	held  map[string]net.Listener
	marks []net.PacketConn
}

const (
	// portStep and portTries: a busy 10000 is moved to 10010, 10020, … before any
	// free port will do.
	portStep  = 10
	portTries = 20

	// Any free port is one of these: above the addresses that Holdfast listens at by default, and
	// below those that Linux gives to connections and to whoever listens at port 0 (its
	// ip_local_port_range, by default from 32768). One of those could be given away between
	// Release and the moment at which a program listens, which may be seconds later.
	anyPortFirst = 20000
	anyPortCount = 32768 - anyPortFirst
	anyPortTries = 1000
)

// Reserve holds preferred, host:port, or where that is taken another port of the
// same host. moved says that it is another one. Port 0 takes any free port and
// is never moved; other Ports, of other processes too, do not give it out before Close.
func (p *Ports) Reserve(preferred string) (address string, moved bool, err error) {
	host, port, err := net.SplitHostPort(preferred)
	if err != nil {
		return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
	}
	first, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", false, fmt.Errorf("reserving %q: %w", preferred, err)
	}
	if first == 0 {
		address, err = p.any(host)
		return address, false, err
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
	address, err = p.any(host)
	return address, err == nil, err
}

// any holds a port that is free. A UDP socket of the same number marks it as given out, also
// while nobody listens there.
func (p *Ports) any(host string) (string, error) {
	var last error
	for range anyPortTries {
		candidate := net.JoinHostPort(host, strconv.Itoa(anyPortFirst+rand.IntN(anyPortCount))) //nolint:gosec // which one does not matter
		mark, err := net.ListenPacket("udp", candidate)                                         //nolint:noctx // returns at once
		if err == nil {
			var address string
			if address, err = p.hold(candidate); err == nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.marks = append(p.marks, mark)
				return address, nil
			}
			_ = mark.Close()
		}
		if last = err; !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return "", fmt.Errorf("reserving any port of %q: %w", host, last)
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

// Close gives up every address, and lets others have those that were any free port.
func (p *Ports) Close() {
	p.ReleaseAll()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, mark := range p.marks {
		_ = mark.Close()
	}
	p.marks = nil
}

// ReleaseAll gives up every address to the programs that are about to listen there.
func (p *Ports) ReleaseAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address, listener := range p.held {
		_ = listener.Close()
		delete(p.held, address)
	}
}
