package pod

import "time"

// Probe asks a container again and again how it is.
//
// A liveness probe that fails has the container killed; its end is then treated
// as any other by the restart policy. A readiness probe that fails takes the
// container, and with it the pod, out of the services. A startup probe holds the
// other two back until it has succeeded once, and has the container killed when
// it fails instead.
type Probe struct {
	// One of these says what is asked.
	Exec      *ExecAction      `json:"exec,omitempty"`
	HTTPGet   *HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC      *GRPCAction      `json:"grpc,omitempty"`

	// InitialDelaySeconds is how long after the container's start the first
	// one comes, PeriodSeconds how long after the last began the next, and
	// TimeoutSeconds how long one may take. SetDefaults makes a period of 0
	// 10 and a timeout of 0 1.
	InitialDelaySeconds int `json:"initialDelaySeconds,omitempty"`
	PeriodSeconds       int `json:"periodSeconds,omitempty"`
	TimeoutSeconds      int `json:"timeoutSeconds,omitempty"`
	// SuccessThreshold is how many have to succeed in a row after a failure,
	// FailureThreshold how many have to fail; 1 and 3 where absent.
	SuccessThreshold int `json:"successThreshold,omitempty"`
	FailureThreshold int `json:"failureThreshold,omitempty"`
	// TerminationGracePeriodSeconds replaces the pod's where the probe has
	// the container killed.
	TerminationGracePeriodSeconds *int64 `json:"terminationGracePeriodSeconds,omitempty"`
}

// ExecAction executes a command in the container; status 0 is success.
type ExecAction struct {
	Command []string `json:"command"`
}

// HTTPGetAction is a GET request from inside of the pod; a status from 200 to
// 399 is success, and no redirection is followed.
type HTTPGetAction struct {
	// Path with its query; "/" where absent.
	Path string `json:"path,omitempty"`
	// Port by number, or by the name that the container gives it.
	Port PortRef `json:"port"`
	// Host is the address to connect to; "" is 127.0.0.1.
	Host string `json:"host,omitempty"`
	// Scheme is HTTP.
	Scheme      string       `json:"scheme,omitempty"`
	HTTPHeaders []HTTPHeader `json:"httpHeaders,omitempty"`
}

// HTTPHeader is a header field of a request. Host replaces what the request is
// for.
type HTTPHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocketAction opens a connection from inside of the pod.
type TCPSocketAction struct {
	// Port by number, or by the name that the container gives it.
	Port PortRef `json:"port"`
	// Host is the address to connect to; "" is 127.0.0.1.
	Host string `json:"host,omitempty"`
}

// GRPCAction calls grpc.health.v1.Health/Check from inside of the pod, without TLS;
// the status SERVING is success.
type GRPCAction struct {
	// Port is a number, as Kubernetes has it here.
	Port int `json:"port"`
	// Service is the name of the one that is asked for; "" is the server.
	Service string `json:"service,omitempty"`
}

func (p *Probe) setDefaults() {
	if p == nil {
		return
	}
	setPositive(&p.PeriodSeconds, 10)
	setPositive(&p.TimeoutSeconds, 1)
	setPositive(&p.SuccessThreshold, 1)
	setPositive(&p.FailureThreshold, 3)
	if p.HTTPGet != nil {
		setDefault(&p.HTTPGet.Path, "/")
		setDefault(&p.HTTPGet.Scheme, "HTTP")
	}
}

// setPositive replaces 0, which Kubernetes takes for absent in a probe.
func setPositive(n *int, value int) {
	if *n == 0 {
		*n = value
	}
}

func (p *Probe) timeout() time.Duration { return time.Duration(p.TimeoutSeconds) * time.Second }
