package pod

import (
	"encoding/json"
	"os"
	"slices"
	"time"
)

// Phase is where a pod is in its life, as Kubernetes names it.
type Phase string

// The phases of a pod.
const (
	PodPending   Phase = "Pending"   // its containers are being started
	PodRunning   Phase = "Running"   // at least one container runs or will again
	PodSucceeded Phase = "Succeeded" // all containers ended with status 0
	PodFailed    Phase = "Failed"    // all ended, one of them otherwise, or the supervisor died
)

// ReasonLost is the reason of a failed pod whose supervisor died without a
// word. Remove clears up after it.
const ReasonLost = "SupervisorLost"

// ReasonUnhealthy is the reason of a container that was ended because of a
// liveness or startup probe, of which the message tells.
const ReasonUnhealthy = "Unhealthy"

// ReasonOOMKilled is the reason of a container that the kernel killed because of
// its memory limit.
const ReasonOOMKilled = "OOMKilled"

// PodStatus is what became of a pod. Field names are those of a Kubernetes v1
// PodStatus where that has them.
type PodStatus struct {
	Phase      Phase      `json:"phase"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	StartTime  time.Time  `json:"startTime"`
	FinishTime *time.Time `json:"finishTime,omitempty"`
	// DeletionTimestamp is since when the pod is being stopped.
	DeletionTimestamp *time.Time `json:"deletionTimestamp,omitempty"`
	// PodIP is the pod's address, where it has one of its own.
	PodIP string `json:"podIP,omitempty"`
	// PodIPs are all of them, that one first.
	PodIPs []PodIP `json:"podIPs,omitempty"`
	// LoopbackIP is for a pod that has no address of its own: one of
	// 127.97.0.0/16, at which headless services let it be reached.
	LoopbackIP string `json:"loopbackIP,omitempty"`
	// HostIP is the address of the host towards the world, or towards the
	// pod where it has none.
	HostIP string `json:"hostIP,omitempty"`
	// Network is which network the pod has, see networks.Parse.
	Network string `json:"network,omitempty"`
	// NetworkMessage tells why the pod has none, where it was to have what can be
	// had.
	NetworkMessage    string            `json:"networkMessage,omitempty"`
	Conditions        []PodCondition    `json:"conditions,omitempty"`
	ContainerStatuses []ContainerStatus `json:"containerStatuses"`
	// ExitCode is the first failing container's, 0 when none failed; it is
	// there when the pod has finished.
	ExitCode *int `json:"exitCode,omitempty"`
	// Supervisor is the process that runs the pod.
	Supervisor SupervisorStatus `json:"supervisor"`
}

// PodIP is an address of a pod.
type PodIP struct {
	IP string `json:"ip"`
}

// SupervisorStatus names the process that runs a pod.
type SupervisorStatus struct {
	PID int `json:"pid"`
	// Netns is its descriptor of the pod's network namespace, which is found
	// at /proc/PID/fd/Netns.
	Netns int `json:"netns,omitempty"`
	// Log is its own log, "" where it has none.
	Log string `json:"log,omitempty"`
	// Logs is the directory of the containers' logs.
	Logs string `json:"logs"`
}

// ContainerStatus is what became of one container.
type ContainerStatus struct {
	Name        string `json:"name"`
	ContainerID string `json:"containerID"`
	// Image is as in the spec, ImageID the absolute path of its root.
	Image        string `json:"image"`
	ImageID      string `json:"imageID"`
	PID          int    `json:"pid,omitempty"`
	RestartCount int    `json:"restartCount"`
	// Started tells that it runs and its startup probe, if any, has
	// succeeded; Ready that its readiness probe, if any, has too.
	Started   bool           `json:"started"`
	Ready     bool           `json:"ready"`
	State     ContainerState `json:"state"`
	LastState ContainerState `json:"lastState,omitzero"`

	unready string // why it runs and is not ready
}

// ContainerState is one of three.
type ContainerState struct {
	Waiting    *StateWaiting    `json:"waiting,omitempty"`
	Running    *StateRunning    `json:"running,omitempty"`
	Terminated *StateTerminated `json:"terminated,omitempty"`
}

// StateWaiting says what a container waits for: CrashLoopBackOff.
type StateWaiting struct {
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Until is when it starts again, where that is known.
	Until time.Time `json:"until,omitzero"`
}

// StateRunning says since when a container runs.
type StateRunning struct {
	StartedAt time.Time `json:"startedAt"`
}

// StateTerminated says how a container ended.
type StateTerminated struct {
	// ExitCode is the process's, or 128 and the number of the signal.
	ExitCode   int       `json:"exitCode"`
	Signal     int       `json:"signal,omitempty"`
	Reason     string    `json:"reason"` // Completed, Error, ContainerCannotRun, ReasonOOMKilled, ReasonUnhealthy
	Message    string    `json:"message,omitempty"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"` // zero: nobody saw it
}

// finished tells whether nothing of the pod will run again.
func (s *PodStatus) finished() bool { return s.Phase == PodSucceeded || s.Phase == PodFailed }

// runs tells whether a container has a process.
func (s *PodStatus) runs() bool {
	return slices.ContainsFunc(s.ContainerStatuses, func(c ContainerStatus) bool { return c.PID != 0 })
}

// save replaces the status at path.
func (s *PodStatus) save(path string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(path, data)
}

// replaceFile writes a file that readers see whole or not at all. Readers are
// its owner's: specs and statuses hold the values of variables.
func replaceFile(path string, data []byte) error {
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
