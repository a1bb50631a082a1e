package main

import (
	"fmt"
	"net"
	"strconv"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
)

func (p *peapod) podPortCommand() *cli.Command {
	return &cli.Command{
		Name:      "port",
		Usage:     "print the host addresses of a pod's ports",
		ArgsUsage: "POD [PORT]",
		Description: `PORT is the number or the name of a containerPort; then its address alone is
printed. 0.0.0.0 stands for all addresses of the host, those of IPv6 too, unless
the spec has a hostIP. A pod that has ended has none.

Example: curl http://$(peapod pod port hello http)/`,
		Action: p.podPort,
	}
}

func (p *peapod) podPort(c *cli.Context) error {
	if err := c.NeedArgs(1, 2); err != nil {
		return err
	}
	name, err := p.onePod(c)
	if err != nil {
		return podError(err)
	}
	r, err := p.store().Get(name)
	if err != nil {
		return podError(err)
	}
	wanted := c.Args().Get(1)
	switch {
	case ended(r) && wanted != "":
		return fmt.Errorf("pod %s has ended: it forwards no port", r.Pod.Metadata.Name)
	case ended(r):
		return nil
	}
	found := false
	eachPort(r.Pod, func(container, host string, port int) {
		switch {
		case wanted == "":
			fmt.Fprintf(p.stdout, "%s %d/tcp -> %s\n", container, port, host)
		case wanted == strconv.Itoa(port) || wanted == portName(r.Pod, container, port):
			fmt.Fprintln(p.stdout, host)
			found = true
		}
	})
	if wanted != "" && !found {
		return fmt.Errorf("pod %s forwards no port %s (a port needs a hostPort in the spec)", r.Pod.Metadata.Name, wanted)
	}
	return nil
}

// eachPort calls f with each port that has a host port: the container, the
// host's address and the container's port.
func eachPort(p *pod.Pod, f func(container, host string, port int)) {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort == 0 {
				continue
			}
			ip := port.HostIP
			if ip == "" {
				ip = "0.0.0.0"
			}
			f(c.Name, net.JoinHostPort(ip, strconv.Itoa(port.HostPort)), port.ContainerPort)
		}
	}
}

// portName is what the spec calls a port.
func portName(p *pod.Pod, container string, port int) string {
	for _, c := range p.Spec.Containers {
		for _, candidate := range c.Ports {
			if c.Name == container && candidate.ContainerPort == port && candidate.HostPort != 0 {
				return candidate.Name
			}
		}
	}
	return ""
}
