package pod

import (
	"fmt"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// kinds are those that a manifest may have.
var kinds = [...]struct{ apiVersion, kind string }{
	{"v1", "Pod"}, {"apps/v1", "Deployment"}, {"v1", "Service"}, {"v1", "Endpoints"}, {"discovery.k8s.io/v1", "EndpointSlice"}, {"v1", "List"},
}

func kindNames() (names []string) {
	for _, k := range kinds {
		names = append(names, k.kind)
	}
	return names
}

func knownKinds() string {
	names := kindNames()
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// insteadOf says what to do without one of Kubernetes' kinds that peapod does not
// run; "" where nothing is known of it.
func insteadOf(kind string) string {
	switch kind {
	case "StatefulSet":
		return "use a Deployment, whose pods are called NAME-0, NAME-1 and so on, with hostPath volumes, and a headless Service for their names"
	case "DaemonSet":
		return "this machine is the only node: use a Pod"
	case "ReplicaSet", "ReplicationController":
		return "use a Deployment"
	case "Job":
		return "use a Pod with restartPolicy: OnFailure; peapod pod wait tells how it ends"
	case "CronJob":
		return "use a Pod with restartPolicy: OnFailure, which cron or a timer of systemd runs (peapod pod run)"
	case "ConfigMap", "Secret":
		return "put files into a directory and use a hostPath volume, and variables into env (or peapod pod run --env)"
	case "PersistentVolume", "PersistentVolumeClaim", "StorageClass":
		return "use a hostPath volume with type: DirectoryOrCreate"
	case "Ingress", "IngressClass", "Gateway", "HTTPRoute":
		return "peapod forwards connections, not requests: use a Service with the annotation " + annotationHostPort
	case "HorizontalPodAutoscaler":
		return "peapod pod scale changes how many pods a Deployment has"
	case "Namespace":
		return "a namespace separates nothing on one machine: leave it out"
	case "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "NetworkPolicy",
		"PodDisruptionBudget", "PriorityClass", "LimitRange", "ResourceQuota", "CustomResourceDefinition":
		return "nothing on one machine would heed it: leave it out"
	}
	return ""
}

// unknownKind says of a kind that it is none here, and what to do instead.
func unknownKind(kind string) string {
	text := "found " + quoted(kind)
	if instead := insteadOf(kind); instead != "" {
		return text + ", which peapod does not run: " + instead
	}
	if near := nearest.Name(kind, kindNames()); near != "" {
		return text + "; did you mean " + near + "?"
	}
	return fmt.Sprintf("%s, which peapod does not know: it runs %s", text, knownKinds())
}

// unknownKinds is told with the first of them.
func (r *manifestReader) unknownKinds(kind string) string {
	text := unknownKind(kind)
	if !r.toldKinds && insteadOf(kind) != "" {
		text += " (what it runs: " + knownKinds() + ")"
	}
	r.toldKinds = true
	return text
}
