package pod

import (
	"fmt"
	"net/netip"
	"path"
	goruntime "runtime"
)

// Validate checks what the types cannot: names, ranges, references, and what
// must not occur twice. It looks at nothing outside of the spec; Resolve does.
// The error is an *Errors; each of its errors names the field, and the line
// where the pod was read from a file.
func (p *Pod) Validate() error { return p.problems().errs.Err() }

func (p *Pod) problems() *problems {
	ps := &problems{object: p, pod: p}
	ps.metadata(&p.Metadata)
	ps.spec(&p.Spec)
	ps.volumes(p.Spec.Volumes)
	if len(p.Spec.Containers) == 0 {
		ps.addf("spec.containers", "missing; a pod has at least one container")
	}
	names := map[string]int{}
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		at := containerPath(i)
		ps.label(at+".name", c.Name)
		ps.unique(names, i, at+".name", "spec.containers[%d]", c.Name)
		ps.container(at, c)
	}
	ps.hostPorts(p.Spec.Containers)
	ps.noAnnotations(p.Metadata.Annotations)
	return ps
}

func containerPath(i int) string { return fmt.Sprintf("spec.containers[%d]", i) }

// unique refuses a name that an earlier entry has.
func (ps *problems) unique(seen map[string]int, i int, field, other, name string) {
	if name == "" {
		return
	}
	if first, ok := seen[name]; ok {
		ps.addf(field, "duplicate %q: "+other+" has it already", name, first)
		return
	}
	seen[name] = i
}

func (ps *problems) metadata(m *Metadata) {
	ps.label("metadata.name", m.Name)
	if m.Namespace != "" {
		ps.label("metadata.namespace", m.Namespace)
	}
	ps.labels("metadata.labels", m.Labels)
	size := 0
	for _, key := range sortedKeys(m.Annotations) {
		size += len(key) + len(m.Annotations[key])
		ps.qualified(fmt.Sprintf("metadata.annotations[%q]", key), key)
	}
	if size > 256<<10 {
		ps.addf("metadata.annotations", "annotations of %d bytes; Kubernetes takes 262144 at most", size)
	}
}

func (ps *problems) labels(field string, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		at := fmt.Sprintf("%s[%q]", field, key)
		ps.qualified(at, key)
		if value := labels[key]; value != "" && !isWord(value) {
			ps.addf(at, "%q cannot be the value of a label: %s", value, wordRule)
		}
	}
}

func (ps *problems) spec(s *Spec) {
	ps.dns(s)
	if s.Hostname != "" {
		ps.label("spec.hostname", s.Hostname)
	}
	if s.Subdomain != "" {
		ps.label("spec.subdomain", s.Subdomain)
	}
	switch s.RestartPolicy {
	case "", RestartAlways, RestartOnFailure, RestartNever:
	default:
		ps.oneOf("spec.restartPolicy", string(s.RestartPolicy), "Always", "OnFailure", "Never")
	}
	// A year bounds what is multiplied into nanoseconds later.
	if t := s.TerminationGracePeriodSeconds; t != nil && (*t < 0 || *t > 365*24*3600) {
		ps.addf("spec.terminationGracePeriodSeconds", "%d is out of range; use 0 (kill at once) to 31536000", *t)
	}
	if s.OS != nil && s.OS.Name != "linux" {
		ps.addf("spec.os.name", "found %q; peapod runs linux only", s.OS.Name)
	}
	satisfied := map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/arch": goruntime.GOARCH}
	for _, key := range sortedKeys(s.NodeSelector) {
		at := fmt.Sprintf("spec.nodeSelector[%q]", key)
		if want, ok := satisfied[key]; !ok {
			ps.addf(at, "not supported: this machine has no labels but kubernetes.io/os and kubernetes.io/arch; leave it out")
		} else if value := s.NodeSelector[key]; value != want {
			ps.addf(at, "the pod is for %q, this machine is %q", value, want)
		}
	}
	if c := s.SecurityContext; c != nil {
		ps.id("spec.securityContext.runAsUser", c.RunAsUser)
		ps.id("spec.securityContext.runAsGroup", c.RunAsGroup)
		ps.id("spec.securityContext.fsGroup", c.FSGroup)
		for i := range c.SupplementalGroups {
			ps.id(fmt.Sprintf("spec.securityContext.supplementalGroups[%d]", i), &c.SupplementalGroups[i])
		}
		ps.seccomp("spec.securityContext.seccompProfile", c.SeccompProfile)
	}
}

func (ps *problems) container(at string, c *Container) {
	if c.Image == "" {
		ps.addf(at+".image", "missing; use the path of an unpacked root or OCI bundle, or builtin:demo")
	}
	switch c.ImagePullPolicy {
	case "", "IfNotPresent", "Never":
	case "Always":
		ps.addf(at+".imagePullPolicy", "Always is not supported: images are directories, nothing is pulled; use IfNotPresent or Never")
	default:
		ps.oneOf(at+".imagePullPolicy", c.ImagePullPolicy, "IfNotPresent", "Never")
	}
	if len(c.Command) > 0 && c.Command[0] == "" {
		ps.addf(at+".command[0]", "empty; the first word of command is the executable")
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		ps.addf(at+".workingDir", "%q is not absolute", c.WorkingDir)
	}
	ps.env(at, c)
	ps.ports(at+".ports", c.Ports)
	ps.resources(at+".resources", c.Resources)
	ps.mounts(at+".volumeMounts", c.VolumeMounts)
	ps.probes(at, c)
	if c.SecurityContext != nil {
		ps.security(at+".securityContext", c.SecurityContext)
	}
}

func (ps *problems) env(at string, c *Container) {
	sound := true
	for i := range c.Env {
		v, at := &c.Env[i], fmt.Sprintf("%s.env[%d]", at, i)
		switch {
		case v.Name == "":
			ps.addf(at+".name", "missing")
		case !isEnvName(v.Name):
			ps.addf(at+".name", "%q cannot name a variable: letters, digits, '_', '-' and '.', not beginning with a digit", v.Name)
		}
		if v.ValueFrom == nil {
			continue
		}
		switch ref := v.ValueFrom.FieldRef; {
		case v.Value != "":
			ps.addf(at+".valueFrom", "value is given too; leave out one of them")
		case ref == nil:
			ps.addf(at+".valueFrom", "empty; use fieldRef, or value instead")
		case ref.APIVersion != "" && ref.APIVersion != "v1":
			ps.addf(at+".valueFrom.fieldRef.apiVersion", "found %q, expected \"v1\"", ref.APIVersion)
		default:
			if _, err := ps.pod.fieldRef(ref.FieldPath); err != nil {
				sound = false
				ps.addf(at+".valueFrom.fieldRef.fieldPath", "%w", err)
			}
		}
	}
	if sound {
		ps.expansion(at, c)
	}
}

// expansion looks for what becomes too long once its variables are filled in.
func (ps *problems) expansion(at string, c *Container) {
	vars, err := ps.pod.variables(c, at)
	if err != nil {
		ps.add(err)
		return
	}
	for _, words := range [...]struct {
		field string
		list  []string
	}{{".command", c.Command}, {".args", c.Args}} {
		for i, word := range words.list {
			if _, err := expand(word, vars.lookup); err != nil {
				ps.addf(fmt.Sprintf("%s%s[%d]", at, words.field, i), "%w", err)
			}
		}
	}
}

func (ps *problems) ports(at string, ports []Port) {
	names := map[string]int{}
	for i := range ports {
		p, at := &ports[i], fmt.Sprintf("%s[%d]", at, i)
		if p.Name != "" && !isPortName(p.Name) {
			ps.addf(at+".name", "%q cannot name a port: %s", p.Name, portNameRule)
		}
		ps.unique(names, i, at+".name", "ports[%d]", p.Name)
		if p.ContainerPort == 0 {
			ps.addf(at+".containerPort", "missing; use 1 to 65535")
		} else {
			ps.port(at+".containerPort", p.ContainerPort)
		}
		if p.HostPort != 0 {
			ps.port(at+".hostPort", p.HostPort)
		}
		if p.HostIP != "" {
			ps.hostIP(at+".hostIP", p)
		}
		switch p.Protocol {
		case "", "TCP":
		case "UDP":
			if p.HostPort != 0 {
				ps.addf(at+".hostPort", "not supported yet: only TCP ports are forwarded from the host; leave hostPort out, or use protocol: TCP")
			}
		case "SCTP":
			ps.addf(at+".protocol", "SCTP is not supported: use TCP or UDP")
		default:
			ps.oneOf(at+".protocol", p.Protocol, "TCP", "UDP")
		}
	}
}

func (ps *problems) port(at string, port int) {
	if port < 1 || port > 65535 {
		ps.addf(at, "port %d is out of range; use 1 to 65535", port)
	}
}

func (ps *problems) hostIP(at string, p *Port) {
	addr, err := netip.ParseAddr(p.HostIP)
	switch {
	case err != nil || addr.Zone() != "":
		ps.addf(at, "%q is not an IP address such as 127.0.0.1 or ::1", p.HostIP)
	case p.HostPort == 0:
		ps.addf(at, "it has no effect without hostPort; write hostPort too, or leave it out")
	}
}

// hostPorts refuses host ports that two ports of the pod want on one address.
func (ps *problems) hostPorts(containers []Container) {
	type taken struct {
		addr  netip.Addr
		field string
	}
	ports := map[int][]taken{}
	for i := range containers {
		for j, p := range containers[i].Ports {
			if p.HostPort == 0 {
				continue
			}
			field := fmt.Sprintf("%s.ports[%d]", containerPath(i), j)
			addr, _ := netip.ParseAddr(p.HostIP)
			for _, other := range ports[p.HostPort] {
				if overlap(addr, other.addr) {
					ps.addf(field+".hostPort", "duplicate host port %d: %s has it already", p.HostPort, other.field)
					break
				}
			}
			ports[p.HostPort] = append(ports[p.HostPort], taken{addr, field})
		}
	}
}

// overlap reports whether two listeners with the same port would collide. The
// zero address is all addresses of both families.
func overlap(a, b netip.Addr) bool {
	switch {
	case !a.IsValid() || !b.IsValid(), a == b:
		return true
	case a.Is4() != b.Is4():
		return a == netip.IPv6Unspecified() || b == netip.IPv6Unspecified()
	}
	return a.IsUnspecified() || b.IsUnspecified()
}
