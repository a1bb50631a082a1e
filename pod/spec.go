package pod

// Pod is a Kubernetes v1 Pod, as far as peapod runs it. Load and Parse make it
// from a file; a program may also build it by itself and call SetDefaults and
// Validate.
type Pod struct {
	APIVersion string   `json:"apiVersion"` // "v1"
	Kind       string   `json:"kind"`       // "Pod"
	Metadata   Metadata `json:"metadata"`
	Spec       Spec     `json:"spec"`
	Status     Status   `json:"status,omitzero"`

	// Dir is the directory that relative paths of the spec (images, host
	// paths) start from; "" is the working directory.
	Dir string `json:"-"`

	source     *source
	serviceEnv []string   // NAME=value, before the spec's own
	addresses  *addresses // nil before the pod has its network
}

// Status is accepted when empty, as kubectl writes it into manifests.
type Status struct{}

// Metadata names an object.
type Metadata struct {
	// Name is a DNS label; it names a pod's state, cgroup and host name.
	Name string `json:"name"`
	// Namespace is a DNS label, "default" where absent. It separates nothing
	// on one machine; it is there for the containers to read.
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Spec is what the pod consists of.
type Spec struct {
	Containers []Container `json:"containers"`
	Volumes    []Volume    `json:"volumes,omitempty"`
	// Hostname is the host name inside the pod; "" is the pod's name.
	Hostname string `json:"hostname,omitempty"`
	// Subdomain is the name of a headless service below which the pod has a
	// name, its host name: HOSTNAME.SUBDOMAIN.default.svc.cluster.local.
	Subdomain string `json:"subdomain,omitempty"`
	// HostNetwork gives the pod the host's network in place of its own.
	HostNetwork   bool          `json:"hostNetwork,omitempty"`
	RestartPolicy RestartPolicy `json:"restartPolicy,omitempty"`
	// TerminationGracePeriodSeconds is how long containers have between
	// SIGTERM and SIGKILL; 30 where absent.
	TerminationGracePeriodSeconds *int64              `json:"terminationGracePeriodSeconds,omitempty"`
	SecurityContext               *PodSecurityContext `json:"securityContext,omitempty"`
	NodeSelector                  map[string]string   `json:"nodeSelector,omitempty"`
	OS                            *OS                 `json:"os,omitempty"`
	// EnableServiceLinks gives containers the variables of the services that
	// there are when the pod starts; true where absent.
	EnableServiceLinks *bool `json:"enableServiceLinks,omitempty"`
	// DNSPolicy and DNSConfig make the containers' resolv.conf.
	DNSPolicy   DNSPolicy   `json:"dnsPolicy,omitempty"`
	DNSConfig   *DNSConfig  `json:"dnsConfig,omitempty"`
	HostAliases []HostAlias `json:"hostAliases,omitempty"`
}

// OS is the operating system that the pod is for: linux.
type OS struct {
	Name string `json:"name"`
}

// RestartPolicy says whether containers that ended are started again.
type RestartPolicy string

// The restart policies; Always where the spec is silent.
const (
	RestartAlways    RestartPolicy = "Always"
	RestartOnFailure RestartPolicy = "OnFailure"
	RestartNever     RestartPolicy = "Never"
)

// PodSecurityContext holds for all containers that do not say otherwise.
type PodSecurityContext struct {
	RunAsUser    *int64 `json:"runAsUser,omitempty"`
	RunAsGroup   *int64 `json:"runAsGroup,omitempty"`
	RunAsNonRoot *bool  `json:"runAsNonRoot,omitempty"`
	// FSGroup owns the pod's emptyDir volumes, which are writable for it, and
	// is one of the groups of each container's process.
	FSGroup            *int64  `json:"fsGroup,omitempty"`
	SupplementalGroups []int64 `json:"supplementalGroups,omitempty"`
	// SeccompProfile is RuntimeDefault where absent.
	SeccompProfile *SeccompProfile `json:"seccompProfile,omitempty"`
}

// Container is one container of a pod.
type Container struct {
	// Name is a DNS label, unique in the pod.
	Name string `json:"name"`
	// Image is a path or "builtin:demo"; see Pod.Image.
	Image string `json:"image"`
	// ImagePullPolicy is IfNotPresent, Never or absent: nothing is pulled.
	ImagePullPolicy string `json:"imagePullPolicy,omitempty"`
	// Command replaces what the image would run, Args what follows its first
	// word. Both may refer to variables as $(NAME).
	Command    []string  `json:"command,omitempty"`
	Args       []string  `json:"args,omitempty"`
	Env        []EnvVar  `json:"env,omitempty"`
	WorkingDir string    `json:"workingDir,omitempty"`
	Ports      []Port    `json:"ports,omitempty"`
	Resources  Resources `json:"resources,omitzero"`
	// VolumeMounts in the order in which they are mounted.
	VolumeMounts    []VolumeMount    `json:"volumeMounts,omitempty"`
	SecurityContext *SecurityContext `json:"securityContext,omitempty"`
	LivenessProbe   *Probe           `json:"livenessProbe,omitempty"`
	ReadinessProbe  *Probe           `json:"readinessProbe,omitempty"`
	StartupProbe    *Probe           `json:"startupProbe,omitempty"`
}

// EnvVar is an environment variable: a value, or where it comes from.
type EnvVar struct {
	Name string `json:"name"`
	// Value may refer to variables that stand before it as $(NAME).
	Value     string        `json:"value,omitempty"`
	ValueFrom *EnvVarSource `json:"valueFrom,omitempty"`
}

// EnvVarSource takes a variable's value from the pod.
type EnvVarSource struct {
	FieldRef *FieldRef `json:"fieldRef,omitempty"`
}

// FieldRef is metadata.name, metadata.namespace, metadata.labels['KEY'] or
// metadata.annotations['KEY'].
type FieldRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	FieldPath  string `json:"fieldPath"`
}

// Port is a port on which a container listens. It informs, unless it has a host
// port: a port that is not here can be reached as well.
type Port struct {
	// Name is unique in its container.
	Name          string `json:"name,omitempty"`
	ContainerPort int    `json:"containerPort"`
	// HostPort is forwarded from the host to ContainerPort; 0 is none.
	HostPort int `json:"hostPort,omitempty"`
	// HostIP is the host's address to listen on; "" is all addresses.
	HostIP string `json:"hostIP,omitempty"`
	// Protocol is TCP, or UDP, which has no host port.
	Protocol string `json:"protocol,omitempty"`
}

// Resources are a container's limits and requests.
type Resources struct {
	Limits   ResourceList `json:"limits,omitzero"`
	Requests ResourceList `json:"requests,omitzero"`
}

// ResourceList has an amount for each kind of resource; see Quantity.IsZero for absent ones.
type ResourceList struct {
	CPU    Quantity `json:"cpu,omitzero"`    // in CPUs
	Memory Quantity `json:"memory,omitzero"` // in bytes
}

// VolumeMount shows a volume, or a path in it, inside a container.
type VolumeMount struct {
	// Name of the volume.
	Name string `json:"name"`
	// MountPath is absolute, inside the container.
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly,omitempty"`
	// SubPath is relative to the volume; "" is all of it.
	SubPath string `json:"subPath,omitempty"`
}

// Volume is a directory or file for the pod's containers. SetDefaults makes a
// volume without a source an emptyDir, as Kubernetes does.
type Volume struct {
	Name     string    `json:"name"`
	HostPath *HostPath `json:"hostPath,omitempty"`
	EmptyDir *EmptyDir `json:"emptyDir,omitempty"`
}

// HostPath is a volume that exists on the host.
type HostPath struct {
	// Path is absolute, or relative to Pod.Dir; see Pod.HostPath.
	Path string       `json:"path"`
	Type HostPathType `json:"type,omitempty"`
}

// HostPathType says what has to be at a host path, and what is made if it is not.
type HostPathType string

// The types of host paths; the empty one takes whatever is there.
const (
	HostPathAny               HostPathType = ""
	HostPathDirectory         HostPathType = "Directory"
	HostPathDirectoryOrCreate HostPathType = "DirectoryOrCreate"
	HostPathFile              HostPathType = "File"
	HostPathFileOrCreate      HostPathType = "FileOrCreate"
	HostPathSocket            HostPathType = "Socket"
)

// EmptyDir is a volume that begins empty and goes with the pod.
type EmptyDir struct {
	// Medium is "" (the disk that has the pod's state) or MediumMemory.
	Medium string `json:"medium,omitempty"`
	// SizeLimit in bytes; only with MediumMemory.
	SizeLimit Quantity `json:"sizeLimit,omitzero"`
}

// MediumMemory is the medium of an emptyDir that is a tmpfs.
const MediumMemory = "Memory"

// SecurityContext is what a container's process may do.
type SecurityContext struct {
	RunAsUser              *int64 `json:"runAsUser,omitempty"`
	RunAsGroup             *int64 `json:"runAsGroup,omitempty"`
	RunAsNonRoot           *bool  `json:"runAsNonRoot,omitempty"`
	ReadOnlyRootFilesystem bool   `json:"readOnlyRootFilesystem,omitempty"`
	// AllowPrivilegeEscalation false sets no_new_privs; true where absent.
	AllowPrivilegeEscalation *bool         `json:"allowPrivilegeEscalation,omitempty"`
	Capabilities             *Capabilities `json:"capabilities,omitempty"`
	// SeccompProfile is the pod's where absent.
	SeccompProfile *SeccompProfile `json:"seccompProfile,omitempty"`
}

// Capabilities changes the default set of capabilities. Names are as in
// capabilities(7), with or without CAP_; ALL stands for all of them.
type Capabilities struct {
	Add  []string `json:"add,omitempty"`
	Drop []string `json:"drop,omitempty"`
}
