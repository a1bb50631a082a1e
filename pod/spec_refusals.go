package pod

import (
	"strings"

	"github.com/peapod/peapod/internal/strict"
)

// The fields that Kubernetes has and peapod does not, each with the reason.
// Where a value asks for what happens anyway, most often Kubernetes' default
// written out, it is accepted.

type refusals = map[string]strict.Refusal

// later refuses what may come one day.
func later(why string, remedy ...string) strict.Refusal {
	return strict.Refusal{Reason: "not supported yet: " + why, Remedy: strings.Join(remedy, ", ")}
}

// never refuses what has no meaning on one machine.
func never(why string, remedy ...string) strict.Refusal {
	return strict.Refusal{Reason: "not supported: " + why, Remedy: strings.Join(remedy, ", ")}
}

// unless accepts one value all the same.
func unless(value string, r strict.Refusal) strict.Refusal {
	r.Unless = value
	return r
}

const (
	byServer    = "Kubernetes' API server sets it"
	noScheduler = "there is one machine, nothing is scheduled"
	noCluster   = "there is no cluster that it could refer to"
	noSELinux   = "SELinux labels"
	noWindows   = "it is for Windows"
	noSource    = "volumes are hostPath or emptyDir"
)

// Refusals implements strict.Refuser.
func (Metadata) Refusals() map[string]strict.Refusal {
	return refusals{
		"creationTimestamp":          never(byServer),
		"deletionGracePeriodSeconds": never(byServer),
		"deletionTimestamp":          never(byServer),
		"finalizers":                 never(noCluster),
		"generateName":               never("an object needs a name of its own", "write name"),
		"generation":                 never(byServer),
		"managedFields":              never(byServer),
		"ownerReferences":            never(noCluster),
		"resourceVersion":            never(byServer),
		"selfLink":                   never(byServer),
		"uid":                        never(byServer),
	}
}

// Refusals implements strict.Refuser.
func (Spec) Refusals() map[string]strict.Refusal {
	return refusals{
		"activeDeadlineSeconds":        later("time limits for a whole pod"),
		"affinity":                     never(noScheduler),
		"automountServiceAccountToken": unless("false", never("there is no API server whose token could be mounted")),
		"ephemeralContainers":          later("containers that are added to a running pod"),
		"hostIPC":                      unless("false", later("each pod has its own ipc namespace")),
		"hostPID":                      unless("false", later("each container has its own pid namespace")),
		"hostUsers":                    unless("true", later("user namespaces for pods")),
		"hostnameOverride":             later("another host name", "write hostname"),
		"imagePullSecrets":             never("images are directories, nothing is pulled"),
		"initContainers":               later("all containers of a pod start together"),
		"nodeName":                     never(noScheduler),
		"overhead":                     never(noScheduler),
		"preemptionPolicy":             unless("PreemptLowerPriority", never(noScheduler)),
		"priority":                     unless("0", never(noScheduler)),
		"priorityClassName":            never(noScheduler),
		"readinessGates":               later("a pod is ready when its containers are"),
		"resourceClaims":               later("devices"),
		"resources":                    later("limits for a whole pod", "give each container its own"),
		"runtimeClassName":             never("peapod is the only runtime here"),
		"schedulerName":                unless("default-scheduler", never(noScheduler)),
		"schedulingGates":              never(noScheduler),
		"schedulingGroup":              never(noScheduler),
		"serviceAccount":               unless("default", never("there is no API server that knows accounts")),
		"serviceAccountName":           unless("default", never("there is no API server that knows accounts")),
		"setHostnameAsFQDN":            unless("false", later("host names with a domain")),
		"shareProcessNamespace":        unless("false", later("each container has its own pid namespace")),
		"tolerations":                  never(noScheduler),
		"topologySpreadConstraints":    never(noScheduler),
		"workloadRef":                  never(noScheduler),
	}
}

// Refusals implements strict.Refuser.
func (PodSecurityContext) Refusals() map[string]strict.Refusal {
	return refusals{
		"appArmorProfile":          later("AppArmor profiles"),
		"fsGroupChangePolicy":      unless("Always", later("only emptyDir volumes get the group, when they are made")),
		"seLinuxChangePolicy":      later(noSELinux),
		"seLinuxOptions":           later(noSELinux),
		"supplementalGroupsPolicy": unless("Strict", later("groups that the image has for the user are not looked up")),
		"sysctls":                  later("sysctls"),
		"windowsOptions":           never(noWindows),
	}
}

// Refusals implements strict.Refuser.
func (Container) Refusals() map[string]strict.Refusal {
	return refusals{
		"envFrom":                  later("there are no ConfigMaps and Secrets", "write the variables into env"),
		"lifecycle":                later("postStart and preStop"),
		"resizePolicy":             later("limits of a running container stay"),
		"restartPolicy":            later("containers restart as the pod's restartPolicy says"),
		"restartPolicyRules":       later("containers restart as the pod's restartPolicy says"),
		"stdin":                    unless("false", later("standard input of a pod's containers is empty")),
		"stdinOnce":                unless("false", later("standard input of a pod's containers is empty")),
		"terminationMessagePath":   unless("/dev/termination-log", later("termination messages")),
		"terminationMessagePolicy": unless("File", later("termination messages")),
		"tty":                      unless("false", later("terminals for a pod's containers")),
		"volumeDevices":            later("block devices"),
	}
}

// Refusals implements strict.Refuser.
func (EnvVarSource) Refusals() map[string]strict.Refusal {
	return refusals{
		"configMapKeyRef":  later("there are no ConfigMaps", "write the value"),
		"fileKeyRef":       later("variables from files", "write the value"),
		"resourceFieldRef": later("variables from resources", "write the value"),
		"secretKeyRef":     later("there are no Secrets", "write the value"),
	}
}

// Refusals implements strict.Refuser.
func (Resources) Refusals() map[string]strict.Refusal {
	return refusals{"claims": later("devices")}
}

// Refusals implements strict.Refuser.
func (ResourceList) Refusals() map[string]strict.Refusal {
	return refusals{
		"ephemeral-storage": later("limits on disk space"),
		"hugepages-1Gi":     later("huge pages"),
		"hugepages-2Mi":     later("huge pages"),
		"pids":              never("Kubernetes has no such resource either"),
		"storage":           never("it is for volume claims"),
	}
}

// Refusals implements strict.Refuser.
func (VolumeMount) Refusals() map[string]strict.Refusal {
	return refusals{
		"mountPropagation":  unless("None", later("mounts stay on their side")),
		"recursiveReadOnly": unless("Disabled", later("mounts below a read-only volume")),
		"subPathExpr":       later("variables in paths", "write subPath"),
	}
}

// Refusals implements strict.Refuser.
func (Volume) Refusals() map[string]strict.Refusal {
	m := refusals{}
	for _, name := range []string{
		"awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume",
		"flocker", "gcePersistentDisk", "glusterfs", "iscsi", "nfs", "photonPersistentDisk",
		"portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
	} {
		m[name] = never("nothing is mounted from elsewhere", "mount it on the host and use hostPath")
	}
	m["configMap"] = later("there are no ConfigMaps", "put the files into a directory and use hostPath")
	m["downwardAPI"] = later(noSource)
	m["ephemeral"] = later(noSource)
	m["gitRepo"] = never("nothing is fetched", "clone it and use hostPath")
	m["image"] = later("images as volumes", "unpack it and use hostPath")
	m["persistentVolumeClaim"] = later("there is no cluster that provides volumes", "use hostPath")
	m["projected"] = later(noSource)
	m["secret"] = later("there are no Secrets", "put the files into a directory and use hostPath")
	return m
}

// Refusals implements strict.Refuser.
func (SecurityContext) Refusals() map[string]strict.Refusal {
	return refusals{
		"appArmorProfile": later("AppArmor profiles"),
		"privileged":      unless("false", later("containers without their walls", "add the capabilities that are needed")),
		"procMount":       unless("Default", later("an unmasked /proc")),
		"seLinuxOptions":  later(noSELinux),
		"windowsOptions":  never(noWindows),
	}
}

// Refusals implements strict.Refuser.
func (ServiceSpec) Refusals() map[string]strict.Refusal {
	return refusals{
		"externalTrafficPolicy":    unless("Cluster", later("pods see the client's address by an annotation only", "write "+AnnotationPrefix+"transparent or "+AnnotationPrefix+"send-proxy-protocol")),
		"healthCheckNodePort":      never("there is no other load balancer that could ask"),
		"loadBalancerClass":        never("this machine is the only load balancer"),
		"loadBalancerSourceRanges": later("filters of client addresses"),
		"topologyKeys":             never(noScheduler),
		"trafficDistribution":      never(noScheduler),
	}
}

// Refusals implements strict.Refuser.
func (EndpointAddress) Refusals() map[string]strict.Refusal {
	return refusals{
		"nodeName":  never(noCluster),
		"targetRef": never(byController),
	}
}

const byController = "it says where Kubernetes' own controller has the address from"

// Refusals implements strict.Refuser.
func (SliceEndpoint) Refusals() map[string]strict.Refusal {
	return refusals{
		"deprecatedTopology": never(noCluster),
		"hints":              never(noCluster),
		"nodeName":           never(noCluster),
		"targetRef":          never(byController),
		"zone":               never(noCluster),
	}
}

// Refusals implements strict.Refuser.
func (DeploymentSpec) Refusals() map[string]strict.Refusal {
	return refusals{
		"paused":               unless("false", later("a Deployment changes when a changed file is applied")),
		"revisionHistoryLimit": unless("0", later("no earlier revisions are kept")),
	}
}

// Refusals implements strict.Refuser.
func (LabelSelector) Refusals() map[string]strict.Refusal {
	return refusals{"matchExpressions": later("selectors other than by equal labels", "write matchLabels")}
}

// Refusals implements strict.Refuser.
func (TemplateMetadata) Refusals() map[string]strict.Refusal {
	list := Metadata{}.Refusals()
	list["name"] = never("the pods are named after the Deployment")
	list["namespace"] = never("the pods are in the namespace of the Deployment")
	list["generateName"] = never("the pods are named after the Deployment")
	return list
}
