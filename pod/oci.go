package pod

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/rootfs"
	"github.com/peapod/peapod/runtime"
)

// systemMounts are those that every container has, beside the pod's /dev/shm.
var systemMounts = []specs.Mount{
	{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}},
	{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
	{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
}

// What a container must not see or change of procfs and sysfs; the container
// engines and Kubernetes protect the same.
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// createOptions is the container as package runtime creates it. done closes
// what they hold open.
func (w *worker) createOptions() (o *runtime.CreateOptions, done func(), err error) {
	var open []*os.File
	done = func() {
		for _, f := range open {
			f.Close()
		}
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	volumes, open, err := w.volumeMounts()
	if err != nil {
		return nil, done, err
	}
	upper, work, err := w.writable()
	if err != nil {
		return nil, done, err
	}
	mounts := append([]specs.Mount(nil), systemMounts...)
	mounts = append(mounts, w.s.sharedMounts(w.resolved.Container)...)
	spec := &specs.Spec{
		Version: specs.Version,
		Process: w.resolved.Process,
		Root:    &specs.Root{Path: w.imageRoot(), Readonly: w.readonlyRoot()},
		Mounts:  append(mounts, volumes...),
		Annotations: map[string]string{
			"io.kubernetes.cri.sandbox-name":   w.s.place.name,
			"io.kubernetes.cri.container-name": w.name(),
		},
		Linux: &specs.Linux{
			CgroupsPath:   w.s.place.groupOf(w.name()),
			Namespaces:    w.s.memberships(),
			Resources:     w.resources(),
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: readonlyPaths,
			Seccomp:       w.resolved.Seccomp,
		},
	}
	w.s.giveUser(spec)
	return &runtime.CreateOptions{
		Mounts: w.s.set.File(namespaces.Mount),
		Spec:   spec, Bundle: w.s.place.state,
		Overlay:        &rootfs.Overlay{Upper: upper, Work: work},
		KillWithParent: true,
	}, done, nil
}

// resources are the limits of the spec, and no device but the default ones.
func (w *worker) resources() *specs.LinuxResources {
	r := w.resolved.Container.Resources.Linux()
	if r == nil {
		r = &specs.LinuxResources{}
	}
	r.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	return r
}

func (w *worker) imageRoot() string {
	if w.resolved.Image.Builtin() {
		return w.s.image.root
	}
	return w.resolved.Image.Root
}

func (w *worker) readonlyRoot() bool {
	c := w.resolved.Container.SecurityContext
	return c != nil && c.ReadOnlyRootFilesystem
}

// memberships are a container's namespaces: the pod's, and its own.
func (s *Supervisor) memberships() []specs.LinuxNamespace {
	list := []specs.LinuxNamespace{
		{Type: specs.IPCNamespace, Path: s.set.Path(namespaces.IPC)},
		{Type: specs.UTSNamespace, Path: s.set.Path(namespaces.UTS)},
		{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}, {Type: specs.CgroupNamespace},
	}
	if !s.onHost() {
		list = append(list, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: s.set.Path(namespaces.Network)})
	}
	return list
}

// sharedMounts are what the pod's containers have in common, unless a volume
// takes its place.
func (s *Supervisor) sharedMounts(c *Container) []specs.Mount {
	own := map[string]bool{}
	for _, m := range c.VolumeMounts {
		own[filepath.Clean(m.MountPath)] = true
	}
	var list []specs.Mount
	for _, m := range []specs.Mount{
		{Destination: "/dev/shm", Source: s.place.shm(), Options: []string{"bind", "rprivate"}},
		{Destination: "/etc/hosts", Source: s.hostsFile("hosts"), Options: []string{"bind", "rprivate"}},
		{Destination: "/etc/resolv.conf", Source: s.hostsFile("resolv.conf"), Options: []string{"bind", "rprivate"}},
		{Destination: "/etc/hostname", Source: s.hostsFile("hostname"), Options: []string{"bind", "rprivate"}},
	} {
		if m.Type = "bind"; !own[m.Destination] {
			list = append(list, m)
		}
	}
	return list
}

// volumeMounts are the container's volumes. Those with a subPath are handed
// over as descriptors, so that nobody can exchange what was checked.
func (w *worker) volumeMounts() (list []specs.Mount, open []*os.File, err error) {
	for i, m := range w.resolved.Container.VolumeMounts {
		source := w.s.volumes[m.Name]
		if m.SubPath != "" {
			f, err := openSubPath(source, m.SubPath)
			if err != nil {
				return nil, open, w.s.pod.Errorf(fmt.Sprintf("%s.volumeMounts[%d].subPath", containerPath(w.index), i), "%w", err)
			}
			open = append(open, f)
			source = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		}
		options := []string{"rbind", "rprivate"}
		if m.ReadOnly {
			options = append(options, "ro")
		}
		list = append(list, specs.Mount{Destination: m.MountPath, Type: "bind", Source: source, Options: options})
	}
	return list, open, nil
}

func (s *Supervisor) hostsFile(name string) string { return filepath.Join(s.place.data, "etc", name) }

const localHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

// makeHostsFiles writes what a container's resolver looks at.
func (s *Supervisor) makeHostsFiles() error {
	if err := os.MkdirAll(filepath.Join(s.place.data, "etc"), 0o755); err != nil {
		return err
	}
	name := s.pod.Hostname()
	s.hosts = localHosts + "127.0.0.1\t" + name + "\n" + s.pod.aliases()
	if err := writeForAll(s.hostsFile("hosts"), s.hosts); err != nil {
		return err
	}
	if err := s.writeResolvConf(); err != nil {
		return err
	}
	return writeForAll(s.hostsFile("hostname"), name+"\n")
}

// writeForAll writes a file that every user can read, whatever the umask is.
func writeForAll(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chmod(path, 0o644)
}

// makeShm makes the memory that the pod's processes share by name, as they
// share their ipc namespace.
func (s *Supervisor) makeShm() error {
	if err := os.MkdirAll(s.place.shm(), 0o755); err != nil {
		return err
	}
	return s.mountTmpfs(s.place.shm(), "mode=1777,size=65536k", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
}

func (s *Supervisor) ownLogPath() string {
	if s.ownLog == nil {
		return ""
	}
	return s.ownLog.Name()
}

// openOwnLog makes the log of a supervisor that has nobody to talk to.
func (s *Supervisor) openOwnLog() (err error) {
	if !s.options.ownLog {
		return nil
	}
	if s.ownLog, err = os.OpenFile(s.place.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
		return err
	}
	s.store.Log = slog.New(slog.NewTextHandler(s.ownLog, nil))
	return nil
}

// output is where the container's lines go beside the log, one at a time.
func (s *Supervisor) output() func(Line) {
	if s.options.Output == nil {
		return nil
	}
	return func(l Line) {
		s.writing.Lock()
		defer s.writing.Unlock()
		l.Pod = s.place.name
		s.options.Output(l)
	}
}

// save writes the spec, as Kubernetes would take it.
func (p *Pod) save(path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return replaceFile(path, data)
}
