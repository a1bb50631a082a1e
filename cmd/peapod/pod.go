package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/pod"
	"golang.org/x/sys/unix"
)

func (p *peapod) podCommand() *cli.Command {
	return &cli.Command{
		Name:  "pod",
		Usage: "run pods: containers that share a network",
		Description: `Pods are described by Kubernetes objects in JSON or YAML: Pods and Deployments.

Example: peapod pod run -d examples/hello.json && peapod pod ps`,
		Commands: []*cli.Command{
			p.podRunCommand(), p.podPsCommand(), p.podInspectCommand(), p.podLogsCommand(), p.podExecCommand(),
			p.podApplyCommand(), p.podScaleCommand(), p.podRestartCommand(), p.podStopCommand(), p.podStartCommand(), p.podRmCommand(), p.podWaitCommand(), p.podPortCommand(),
		},
		// Docker's and kubectl's.
		Elsewhere: map[string]string{"list": "ps", "ls": "ps", "get": "ps", "delete": "rm", "describe": "inspect", "kill": "stop", "rollout": "restart", "create": "run", "up": "apply", "down": "rm", "play": "run", "update": "apply"},
	}
}

// store is where the pods are.
func (p *peapod) store() *pod.Store { return &pod.Store{Root: p.root, Data: p.data, Log: p.log} }

// podError gives an error the exit status that package pod has for it: 126 and
// 127 for commands that cannot be executed or are not found.
func podError(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{pod.ExitCode(err), err}
}

// readSpec reads the spec in file; "-" is the standard input, whose paths are
// relative to the working directory.
func (p *peapod) readSpec(file string) (name string, data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(p.stdin)
		if err != nil {
			return "", nil, fmt.Errorf("read the spec from the standard input: %w", err)
		}
		return "<stdin>", data, nil
	}
	data, err = os.ReadFile(file)
	switch {
	case errors.Is(err, unix.EISDIR):
		return "", nil, fmt.Errorf("read the spec: %s is a directory: give the spec's file, or - for standard input", file)
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fmt.Errorf("read the spec: %s: no such file%s", file, orElse(nearFile(file, isSpec), ": give a file with a Kubernetes Pod or Deployment, in JSON or YAML, or - for standard input"))
	case err != nil:
		return "", nil, fmt.Errorf("read the spec: %w", err)
	}
	return file, data, nil
}

// parseArgs takes CONTAINER=ARG. A container may occur more than once.
func parseArgs(list []string) (map[string][]string, error) {
	args := map[string][]string{}
	for _, s := range list {
		container, arg, ok := strings.Cut(s, "=")
		if !ok || container == "" {
			return nil, fmt.Errorf("--arg %q: give CONTAINER=ARGUMENT", s)
		}
		args[container] = append(args[container], arg)
	}
	return args, nil
}

// parseServiceCIDR takes CIDR[,CIDR]; "" is none.
func parseServiceCIDR(text string) (list []netip.Prefix, err error) {
	for part := range strings.SplitSeq(text, ",") {
		if text == "" {
			break
		}
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("--service-cidr %q: give a range of addresses, for instance 10.96.0.0/16 or 10.96.0.0/16,fd00:96::/112", text)
		}
		list = append(list, p)
	}
	if err := pod.CheckServiceRanges(list); err != nil {
		return nil, fmt.Errorf("--service-cidr %q: %w", text, err)
	}
	return list, nil
}

// parsePublish takes [IP:]PORT:CONTAINERPORT; IPv6 addresses are in brackets.
func parsePublish(list []string) (ports []pod.Port, err error) {
	for _, s := range list {
		bad := fmt.Errorf("--publish %q: give [IP:]PORT:CONTAINERPORT, for instance 8080:80 or 127.0.0.1:8080:80", s)
		rest, inside, ok := cutLast(strings.TrimSuffix(s, "/tcp"), ":")
		if !ok {
			return nil, bad
		}
		port := pod.Port{Protocol: "TCP"}
		ip, host, hasIP := cutLast(rest, ":")
		if hasIP {
			addr, err := netip.ParseAddr(strings.Trim(ip, "[]"))
			if err != nil {
				return nil, bad
			}
			port.HostIP = addr.String()
		} else {
			host = rest
		}
		if port.HostPort, err = strconv.Atoi(host); err == nil {
			port.ContainerPort, err = strconv.Atoi(inside)
		}
		if err != nil || port.HostPort < 1 || port.HostPort > 65535 || port.ContainerPort < 1 || port.ContainerPort > 65535 {
			return nil, bad
		}
		ports = append(ports, port)
	}
	return ports, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

// parseEnv checks NAME=VALUE; NAME alone takes the value from env.
func parseEnv(list []string, env func(string) (string, bool)) ([]string, error) {
	var vars []string
	for _, s := range list {
		name, _, ok := strings.Cut(s, "=")
		if name == "" {
			return nil, fmt.Errorf("--env %q: give NAME=VALUE, or NAME for the value that it has here", s)
		}
		if !ok {
			value, set := env(name)
			if !set {
				return nil, fmt.Errorf("--env %s: there is no such variable here: give NAME=VALUE", name)
			}
			s = name + "=" + value
		}
		vars = append(vars, s)
	}
	return vars, nil
}

// eachPodTogether calls f with all of the pods side by side.
func eachPodTogether(names []string, f func(name string) error) error {
	errs := make([]error, len(names))
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() { errs[i] = f(name) })
	}
	group.Wait()
	return podError(errors.Join(errs...))
}
