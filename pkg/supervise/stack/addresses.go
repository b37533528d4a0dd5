package stack

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/holdfast-mcp/holdfast/pkg/demo"
)

// place reserves an address and remembers and says where it was moved.
func (s *Stack) place(preferred string) (string, error) {
	ask := preferred
	if s.opts.AnyPorts {
		host, _, err := net.SplitHostPort(preferred)
		if err != nil {
			return "", fmt.Errorf("placing %q: %w", preferred, err)
		}
		ask = net.JoinHostPort(host, "0")
	}
	address, moved, err := s.ports.Reserve(ask)
	if err != nil {
		return "", err
	}
	if moved {
		s.report(Step{Note: fmt.Sprintf("port %s is busy: using %s", portOf(preferred), portOf(address))})
	}
	if address != preferred {
		if s.info.Moved == nil {
			s.info.Moved = map[string]string{}
		}
		s.info.Moved[preferred] = address
	}
	return address, nil
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return port
}

// placeAddresses decides where everything listens, before anything starts.
func (s *Stack) placeAddresses() error {
	var err error
	for _, one := range []struct {
		into      *string
		preferred string
	}{
		{&s.info.Gateway, s.cfg.Gateway.Spec.Address},
		{&s.info.EnvoyAdmin, DefaultEnvoyAdmin},
		{&s.info.XDS, DefaultXDS},
		{&s.info.XDSAdmin, DefaultXDSAdmin},
	} {
		if *one.into, err = s.place(one.preferred); err != nil {
			return err
		}
	}
	if s.info.Gateway != s.cfg.Gateway.Spec.Address {
		s.remap[s.cfg.Gateway.Spec.Address] = s.info.Gateway
	}
	s.info.Endpoints = map[string]string{}
	for _, route := range s.cfg.Routes {
		s.info.Endpoints[route.Metadata.Name] = "http://" + dialable(s.info.Gateway) + route.Spec.Path
	}
	if err := s.placeProcessors(); err != nil {
		return err
	}
	if err := s.placeTracing(); err != nil {
		return err
	}
	return s.placeDemo()
}

func (s *Stack) placeProcessors() error {
	host, port, err := net.SplitHostPort(defaultProcessorHTTP)
	if err != nil {
		return fmt.Errorf("placing the processors: %w", err)
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("placing the processors: %w", err)
	}
	for i := range s.opts.Processors {
		address, err := s.place(net.JoinHostPort(host, strconv.Itoa(first+i)))
		if err != nil {
			return err
		}
		s.info.ProcessorHTTP = append(s.info.ProcessorHTTP, address)
		s.info.Processors = append(s.info.Processors, "unix://"+filepath.Join(s.info.RunDir, ExtprocName(i+1)+".sock"))
	}
	return nil
}

// ExtprocName is the child's name of the nth processor, counted from 1.
func ExtprocName(n int) string { return "extproc-" + strconv.Itoa(n) }

// placeDemo takes those demo servers whose address the configuration sends calls to.
func (s *Stack) placeDemo() error {
	named := map[string]bool{}
	for _, server := range s.cfg.Servers {
		for _, region := range server.Spec.Regions {
			for _, endpoint := range region.Endpoints {
				named[endpoint.Address] = true
			}
		}
	}
	for _, p := range s.opts.Demo {
		if !named[p.Address] {
			continue
		}
		address, err := s.place(p.Address)
		if err != nil {
			return err
		}
		if address != p.Address {
			s.remap[p.Address] = address
		}
		s.places = append(s.places, p)
		s.info.Demo[p.Name] = DemoInfo{
			Server: p.Server, Region: p.Region, Address: address,
			Journal: filepath.Join(s.opts.State, "journals", p.Name+".jsonl"),
			Control: "unix://" + filepath.Join(s.info.RunDir, p.Name+".sock"),
		}
	}
	return nil
}

// demoOptions of the placed demo server p.
func (s *Stack) demoOptions(p demo.Place) DemoOptions {
	info := s.info.Demo[p.Name]
	return DemoOptions{Place: p, Listen: info.Address, Journal: info.Journal, Control: info.Control, Traces: s.otlp()}
}
