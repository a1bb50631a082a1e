package pod

import "strconv"

// Deployment is a Kubernetes apps/v1 Deployment: some pods of one kind. Where
// Kubernetes ends their names with random letters, they are NAME-0, NAME-1 and
// so on here, so that a pod can be asked for.
type Deployment struct {
	APIVersion string         `json:"apiVersion"` // "apps/v1"
	Kind       string         `json:"kind"`       // "Deployment"
	Metadata   Metadata       `json:"metadata"`
	Spec       DeploymentSpec `json:"spec"`
	Status     Status         `json:"status,omitzero"`

	// Dir is as in Pod.
	Dir string `json:"-"`

	source *source
}

// DeploymentSpec is what a deployment consists of.
type DeploymentSpec struct {
	// Replicas is how many pods there are; 1 where absent.
	Replicas *int `json:"replicas,omitempty"`
	// Selector has labels of the template, as Kubernetes demands it.
	Selector LabelSelector `json:"selector"`
	Template PodTemplate   `json:"template"`
	// Strategy is how a deployment is changed while it runs.
	Strategy DeploymentStrategy `json:"strategy,omitzero"`
	// MinReadySeconds is how long a new pod has to be ready before the next
	// one is replaced.
	MinReadySeconds int `json:"minReadySeconds,omitempty"`
	// ProgressDeadlineSeconds is how long each new pod has to become ready,
	// before a change is given up; 600 where absent.
	ProgressDeadlineSeconds *int `json:"progressDeadlineSeconds,omitempty"`
}

// LabelSelector selects what has all of the labels.
type LabelSelector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// PodTemplate is a pod without a name.
type PodTemplate struct {
	Metadata TemplateMetadata `json:"metadata,omitzero"`
	Spec     Spec             `json:"spec"`
}

// TemplateMetadata is what each of the pods has beside its name.
type TemplateMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// inTemplate leads from a pod's fields to those of the template that it was
// made from.
const inTemplate = "spec.template."

// maxReplicas keeps a slip of the finger from filling the machine.
const maxReplicas = 1000

// SetDefaults fills in what Kubernetes fills in: namespace, replicas, and the
// template's defaults as those of a pod.
func (d *Deployment) SetDefaults() {
	setDefault(&d.Metadata.Namespace, "default")
	if d.Spec.Replicas == nil {
		d.Spec.Replicas = new(1)
	}
	d.Spec.Template.Spec.setDefaults()
}

// Errorf returns an *Error about a field of the deployment, as Pod.Errorf does.
func (d *Deployment) Errorf(field, format string, args ...any) error {
	return d.source.errorf(field, format, args...)
}

// Replicas is how many pods there are.
func (d *Deployment) Replicas() int {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// Pods makes the deployment's pods. They share what the template refers to, so
// that no container, label or volume of one of them may be changed. Their errors
// point to the template.
func (d *Deployment) Pods() []*Pod {
	var list []*Pod
	for i := range d.Replicas() {
		list = append(list, d.pod(i))
	}
	return list
}

func (d *Deployment) pod(i int) *Pod {
	p := &Pod{APIVersion: "v1", Kind: "Pod", Dir: d.Dir, Spec: d.Spec.Template.Spec, Metadata: Metadata{
		Name: d.podName(i), Namespace: d.Metadata.Namespace,
		Labels: d.Spec.Template.Metadata.Labels, Annotations: d.Spec.Template.Metadata.Annotations,
	}}
	p.source = &source{prefix: inTemplate}
	if d.source != nil {
		p.source.document, p.source.prefix = d.source.document, d.source.prefix+inTemplate
	}
	p.SetDefaults()
	return p
}

func (d *Deployment) podName(i int) string { return d.Metadata.Name + "-" + strconv.Itoa(i) }
