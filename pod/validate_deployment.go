package pod

import (
	"fmt"
	"strconv"
)

// Validate checks what the types cannot, the pods included. The error is an
// *Errors, as Pod.Validate's.
func (d *Deployment) Validate() error {
	ps := &problems{object: d}
	ps.metadata(&d.Metadata)
	replicas := d.Replicas()
	if replicas < 0 || replicas > maxReplicas {
		ps.addf("spec.replicas", "%d is out of range; use 0 to %d", replicas, maxReplicas)
	}
	ps.strategy(&d.Spec)
	ps.noAnnotations(d.Metadata.Annotations)
	ps.deploymentSelector(d)
	if last := d.podName(max(replicas, 1) - 1); isLabel(d.Metadata.Name) && !isLabel(last) {
		ps.addf("metadata.name", "the last pod would be called %s, which is no DNS label: %s", last, labelRule)
	}
	ps.template(d, replicas)
	return ps.errs.Err()
}

func (ps *problems) deploymentSelector(d *Deployment) {
	want, labels := d.Spec.Selector.MatchLabels, d.Spec.Template.Metadata.Labels
	if len(want) == 0 {
		ps.addf("spec.selector.matchLabels", "missing; write labels that spec.template.metadata.labels has")
	}
	ps.labels("spec.selector.matchLabels", want)
	for _, key := range sortedKeys(want) {
		at := fmt.Sprintf("spec.selector.matchLabels[%q]", key)
		switch value, ok := labels[key]; {
		case !ok:
			ps.addf(at, "the template's pods have no such label: it is missing in spec.template.metadata.labels")
		case value != want[key]:
			ps.addf(at, "found %q, where spec.template.metadata.labels has %q; they must be equal", want[key], value)
		}
	}
}

// template checks the first pod; the others are alike.
func (ps *problems) template(d *Deployment, replicas int) {
	p := d.pod(0)
	if !isLabel(p.Metadata.Name) {
		p.Metadata.Name = "x" // of which the deployment's own name tells
	}
	p.Metadata.Namespace = "" // it is the deployment's
	inner := p.problems()
	if policy := p.Spec.RestartPolicy; policy == RestartOnFailure || policy == RestartNever {
		inner.addf("spec.restartPolicy", "%s is not for the pods of a Deployment, which Kubernetes keeps running; use Always, or a Pod", policy)
	}
	for i, c := range p.Spec.Containers {
		for j, port := range c.Ports {
			if port.HostPort != 0 && replicas > 1 {
				inner.addf(containerPath(i)+".ports["+strconv.Itoa(j)+"].hostPort", "only one of the %d replicas can have host port %d; use a Service", replicas, port.HostPort)
			}
		}
	}
	ps.errs.List = append(ps.errs.List, inner.errs.List...)
	ps.errs.More = ps.errs.More || inner.errs.More
}
