package pod

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/peapod/peapod/internal/strict"
)

// PortRef refers to a port of a container by its number or by the name that the
// container gives it: Kubernetes' IntOrString. The zero value is absent.
type PortRef struct {
	Number int
	Name   string
}

// IsZero reports whether there is no port.
func (r PortRef) IsZero() bool { return r == PortRef{} }

// String is the number or the name.
func (r PortRef) String() string {
	if r.Name != "" {
		return r.Name
	}
	return strconv.Itoa(r.Number)
}

// UnmarshalNode takes a number or a string from a spec.
func (r *PortRef) UnmarshalNode(n *strict.Node) (err error) {
	switch n.Kind {
	case strict.Number:
		if r.Number, err = strconv.Atoi(n.Text); err != nil || r.Number == 0 {
			return fmt.Errorf("found %s, expected a port from 1 to 65535 or the name of one", n.Text)
		}
	case strict.String:
		if _, err := strconv.Atoi(n.Text); err == nil {
			return fmt.Errorf("found the string %q, expected a number or the name of a port; leave out the quotes", n.Text)
		}
		if n.Text == "" {
			return fmt.Errorf("empty; use a number or the name of a port")
		}
		r.Name = n.Text
	default:
		return fmt.Errorf("found %s, expected a number or the name of a port", n.Kind)
	}
	return nil
}

// MarshalJSON is a number or a string.
func (r PortRef) MarshalJSON() ([]byte, error) {
	if r.Name != "" {
		return json.Marshal(r.Name)
	}
	return strconv.AppendInt(nil, int64(r.Number), 10), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *PortRef) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &r.Name)
	}
	return json.Unmarshal(data, &r.Number)
}

// portRef checks a reference that is there: what can be told without knowing
// the containers.
func (ps *problems) portRef(at string, r PortRef) {
	switch {
	case r.Name == "":
		ps.port(at, r.Number)
	case !isPortName(r.Name):
		ps.addf(at, "%q cannot name a port: %s", r.Name, portNameRule)
	}
}

// Port returns the number that a reference stands for in the pod, as Kubernetes
// finds it: that of the first container port with the name and the protocol
// ("TCP" where it is "").
func (p *Pod) Port(ref PortRef, protocol string) (number int, ok bool) {
	if ref.Name == "" {
		return ref.Number, ref.Number != 0
	}
	for i := range p.Spec.Containers {
		if number, ok := p.Spec.Containers[i].port(ref, protocol); ok {
			return number, true
		}
	}
	return 0, false
}

func (c *Container) port(ref PortRef, protocol string) (number int, ok bool) {
	if ref.Name == "" {
		return ref.Number, ref.Number != 0
	}
	for _, p := range c.Ports {
		if p.Name == ref.Name && orTCP(p.Protocol) == orTCP(protocol) {
			return p.ContainerPort, true
		}
	}
	return 0, false
}

// portNames lists the names of a container's ports.
func (c *Container) portNames(protocol string) (names []string) {
	for _, p := range c.Ports {
		if p.Name != "" && orTCP(p.Protocol) == orTCP(protocol) {
			names = append(names, p.Name)
		}
	}
	return names
}

func orTCP(protocol string) string {
	setDefault(&protocol, "TCP")
	return protocol
}
