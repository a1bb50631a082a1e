// Package pod runs Kubernetes pods on one machine: it reads a v1 Pod, starts its
// containers with package runtime, and supervises them. There is no daemon and
// no second program. [Start] and [Run] make the calling process the pod's
// supervisor; [Detach] gives it one of its own.
//
// The containers of a pod share the network, ipc and uts namespaces, /dev/shm
// and the volumes; each has mount and pid namespaces of its own, an overlay for
// its writes, and a cgroup below the pod's. Host ports are forwarded into the
// pod by sockets that are made in its network namespace, which takes no bridge:
// its only network device is its loopback, unless Options.Network says otherwise.
//
// # Embedding
//
// A program that imports this package needs no init hook, no cgo, and no peapod
// binary:
//
//	p, err := pod.Load("web.json")
//	if err != nil {
//		return err // file, line, column and field of everything that is wrong
//	}
//	result, err := pod.Run(ctx, p, &pod.Options{
//		Output: func(l pod.Line) { log.Printf("%s: %s", l.Container, l.Text) },
//	})
//
// Containers end with the process that supervises them, however that ends. The
// kernel ties them to the thread that started them (PR_SET_PDEATHSIG). This
// package sees to it that those of its own stay; a program that ends threads
// itself (a goroutine that returns after runtime.LockOSThread without
// UnlockOSThread) may end a container with one, and should run its pods by
// Detach.
//
// A pod is registered in a [Store], where other processes find it: its state in
// /run/peapod, its logs and volumes in /var/lib/peapod. What a killed supervisor
// left there, [Store.Remove] clears up.
//
// # Probes
//
// Containers are probed as by the kubelet: a startup probe holds the others back,
// a liveness probe that fails has the container ended, which the restart policy
// then treats as a failure, and a readiness probe decides about [PodStatus.Ready],
// of whose changes [Options].Ready is told. Requests and connections are made in
// the pod's network namespace. Redirections are not followed, and answers are
// read up to 16 KiB of header. What an exec probe leaves in its process group
// when its time is over is killed. A pod without probes is never woken up.
//
// # Manifests
//
// [LoadManifest] reads a file of several objects: Pods, Deployments, Services and
// Endpoints. [StartManifest] runs its pods in one process, each registered by
// itself. What Kubernetes has no field for is said by annotations of Services
// that begin with peapod.dev/:
//
//	host-port              8080, 127.0.0.1:8080, or NAME=8080, ... for each port
//	balance                random, round-robin or source-hash
//	slow-start             for how long a new pod gets fewer connections: 30s
//	max-connections        of each pod at a time
//	queue                  how many more wait
//	idle-timeout           ends connections that are quiet for so long: 5m
//	keep-alive             TCP keep-alive: 15s, or off
//	accept-proxy-protocol  true: each connection begins with a PROXY header
//	send-proxy-protocol    v1 or v2
//	transparent            true: connections come from the client's address
//
// # Privileges
//
// Running pods takes root (CAP_SYS_ADMIN and what containers are given), or user
// namespaces for an ordinary user, whose pods have one each; Linux
// 5.12 or later, and cgroups, v1, v2 or both. Reading and checking specs takes
// nothing.
//
// # When not to use it
//
// Images are directories: nothing is pulled from a registry. A pod is the whole
// of it: there are no ConfigMaps and Secrets and no init containers yet, Services
// are read and not run, and a field that is not supported is refused. Containers are
// no boundary for hostile code that is root in them: there are no user
// namespaces in a pod yet. For one container without a pod use package runtime.
package pod
