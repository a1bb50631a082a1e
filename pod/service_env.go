package pod

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// findServices reads the variables that the pod's containers begin with.
func (s *Supervisor) findServices() (err error) {
	if links := s.pod.Spec.EnableServiceLinks; links == nil || *links {
		s.pod.serviceEnv, err = s.store.serviceEnv()
	}
	return err
}

// serviceEnv are the variables of all services that there are.
func (s *Store) serviceEnv() (env []string, err error) {
	list, err := s.ListServices()
	for _, r := range list {
		env = append(env, serviceVariables(r.Service)...)
	}
	return env, err
}

// serviceVariables are the environment variables by which Kubernetes tells the
// containers where a service is: {NAME}_SERVICE_HOST and _PORT, and those of
// Docker's links. A service without an address has none.
func serviceVariables(s *Service) (list []string) {
	ip, ok := s.address()
	if !ok || len(s.Spec.Ports) == 0 {
		return nil
	}
	name := variableName(s.Metadata.Name)
	add := func(key string, value any) { list = append(list, fmt.Sprintf("%s_%s=%v", name, key, value)) }
	add("SERVICE_HOST", ip)
	add("SERVICE_PORT", s.Spec.Ports[0].Port)
	for _, p := range s.Spec.Ports {
		if p.Name != "" {
			add("SERVICE_PORT_"+variableName(p.Name), p.Port)
		}
	}
	for i, p := range s.Spec.Ports {
		protocol := strings.ToLower(orTCP(p.Protocol))
		url := protocol + "://" + net.JoinHostPort(ip.String(), strconv.Itoa(p.Port))
		if i == 0 {
			add("PORT", url)
		}
		link := fmt.Sprintf("PORT_%d_%s", p.Port, strings.ToUpper(protocol))
		add(link, url)
		add(link+"_PROTO", protocol)
		add(link+"_PORT", p.Port)
		add(link+"_ADDR", ip)
	}
	return list
}

func variableName(name string) string { return strings.ReplaceAll(strings.ToUpper(name), "-", "_") }
