// The program cri does with a CRI socket what a kubelet does for a pod of two
// containers, and tells what it saw:
//
//	cri SOCKET IMAGE-ARCHIVE'S-NAME HANDLER DIRECTORY
//
// It is a module of its own, so that nobody else needs the CRI's client.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "cri:", err)
		os.Exit(1)
	}
}

// kubelet is what a kubelet knows of one pod.
type kubelet struct {
	context.Context
	cri.RuntimeServiceClient
	image   string
	sandbox *cri.PodSandboxConfig
	id      string
}

func run(socket, image, handler, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	k := &kubelet{Context: ctx, RuntimeServiceClient: cri.NewRuntimeServiceClient(conn), image: image}
	k.sandbox = &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "pair", Namespace: "default", Uid: "1"},
		LogDirectory: dir,
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods-peapod-test/pod1",
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				// Without CNI: the host's network.
				NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
	if err := k.start(handler); err != nil {
		return err
	}
	err = k.pair(dir)
	if err2 := k.remove(); err == nil {
		err = err2
	}
	return err
}

func (k *kubelet) start(handler string) error {
	s, err := k.RunPodSandbox(k, &cri.RunPodSandboxRequest{Config: k.sandbox, RuntimeHandler: handler})
	if err != nil {
		return fmt.Errorf("run the sandbox: %w", err)
	}
	k.id = s.PodSandboxId
	return nil
}

func (k *kubelet) remove() error {
	if _, err := k.StopPodSandbox(k, &cri.StopPodSandboxRequest{PodSandboxId: k.id}); err != nil {
		return fmt.Errorf("stop the sandbox: %w", err)
	}
	if _, err := k.RemovePodSandbox(k, &cri.RemovePodSandboxRequest{PodSandboxId: k.id}); err != nil {
		return fmt.Errorf("remove the sandbox: %w", err)
	}
	return nil
}

// pair runs two containers in the sandbox.
func (k *kubelet) pair(dir string) error {
	one, err := k.container("one", "/bin/sh", "-c", "echo hello from $NAME; sleep 1000")
	if err != nil {
		return err
	}
	two, err := k.container("two", "/bin/sleep", "1001")
	if err != nil {
		return err
	}
	for _, ns := range []string{"ipc", "uts"} {
		a, b, err := k.both(one, two, "readlink", "/proc/self/ns/"+ns)
		if err != nil {
			return err
		}
		fmt.Printf("%s shared: %t\n", ns, a == b)
	}
	a, b, err := k.both(one, two, "readlink", "/proc/self/ns/pid")
	if err != nil {
		return err
	}
	fmt.Printf("pid shared: %t\n", a == b)
	if err := k.look(one); err != nil {
		return err
	}
	if _, err := k.StopContainer(k, &cri.StopContainerRequest{ContainerId: two, Timeout: 0}); err != nil {
		return fmt.Errorf("stop two: %w", err)
	}
	status, err := k.ContainerStatus(k, &cri.ContainerStatusRequest{ContainerId: two})
	if err != nil {
		return fmt.Errorf("status of two: %w", err)
	}
	fmt.Println("two:", status.Status.State, status.Status.ExitCode)
	if _, err := k.RemoveContainer(k, &cri.RemoveContainerRequest{ContainerId: two}); err != nil {
		return fmt.Errorf("remove two: %w", err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "one.log"))
	fmt.Printf("log: %s", log)
	return err
}

// look prints what a kubelet asks of a container.
func (k *kubelet) look(id string) error {
	exit, err := k.ExecSync(k, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"/bin/sh", "-c", "grep Seccomp: /proc/self/status; echo $NAME; exit 5"}})
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	fmt.Printf("exec: %d %q\n", exit.ExitCode, exit.Stdout)
	_, err = k.UpdateContainerResources(k, &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, CpuShares: 512}})
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	stats, err := k.ContainerStats(k, &cri.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		return fmt.Errorf("stats: %w", err)
	}
	fmt.Printf("stats: memory %t, cpu %t\n", stats.Stats.Memory.WorkingSetBytes.Value > 0, stats.Stats.Cpu.UsageCoreNanoSeconds.Value > 0)
	_, err = k.ExecSync(k, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"nosuch"}})
	fmt.Println("missing:", strings.Contains(fmt.Sprint(err), "executable file not found"))
	return nil
}

func (k *kubelet) container(name string, command ...string) (id string, err error) {
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name},
		Image:    &cri.ImageSpec{Image: k.image},
		Command:  command,
		Envs:     []*cri.KeyValue{{Key: "NAME", Value: []byte(name)}},
		LogPath:  name + ".log",
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, CpuShares: 256},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: k.sandbox.Linux.SecurityContext.NamespaceOptions,
				Seccomp:          k.sandbox.Linux.SecurityContext.Seccomp,
				NoNewPrivs:       true,
			},
		},
	}
	c, err := k.CreateContainer(k, &cri.CreateContainerRequest{PodSandboxId: k.id, Config: config, SandboxConfig: k.sandbox})
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	if _, err := k.StartContainer(k, &cri.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	return c.ContainerId, nil
}

// both executes a command in two containers.
func (k *kubelet) both(one, two string, command ...string) (a, b string, err error) {
	for id, out := range map[string]*string{one: &a, two: &b} {
		r, err := k.ExecSync(k, &cri.ExecSyncRequest{ContainerId: id, Cmd: command})
		if err != nil {
			return "", "", fmt.Errorf("exec: %w", err)
		}
		*out = string(r.Stdout)
	}
	return a, b, nil
}
