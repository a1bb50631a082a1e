package pod

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

func (ps *problems) volumes(volumes []Volume) {
	names := map[string]int{}
	for i := range volumes {
		v, at := &volumes[i], fmt.Sprintf("spec.volumes[%d]", i)
		ps.label(at+".name", v.Name)
		ps.unique(names, i, at+".name", "spec.volumes[%d]", v.Name)
		if v.HostPath != nil && v.EmptyDir != nil {
			ps.addf(at, "a volume is hostPath or emptyDir, not both")
			continue
		}
		if v.HostPath != nil {
			ps.hostPath(at+".hostPath", v.HostPath)
		}
		if v.EmptyDir != nil {
			ps.emptyDir(at+".emptyDir", v.EmptyDir)
		}
	}
}

func (ps *problems) hostPath(at string, h *HostPath) {
	switch {
	case h.Path == "":
		ps.addf(at+".path", "missing")
	case hasDotDot(h.Path):
		ps.addf(at+".path", "%q contains \"..\", which Kubernetes refuses; write the path out", h.Path)
	}
	switch h.Type {
	case HostPathAny, HostPathDirectory, HostPathDirectoryOrCreate, HostPathFile, HostPathFileOrCreate, HostPathSocket:
	case "CharDevice", "BlockDevice":
		ps.addf(at+".type", "%s is not supported yet: devices", h.Type)
	default:
		ps.oneOf(at+".type", string(h.Type), "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")
	}
}

func (ps *problems) emptyDir(at string, e *EmptyDir) {
	limit := at + ".sizeLimit"
	switch {
	case e.Medium != "" && e.Medium != MediumMemory:
		if strings.HasPrefix(e.Medium, "HugePages") {
			ps.addf(at+".medium", "%s is not supported yet: huge pages", e.Medium)
			return
		}
		ps.oneOf(at+".medium", e.Medium, MediumMemory)
	case e.SizeLimit.IsZero():
	case e.Medium == "":
		ps.addf(limit, "it cannot be kept to on disk yet; use medium: Memory, or leave it out")
	default:
		if n, exact := e.SizeLimit.scaled(0); !exact || n < 4096 {
			ps.addf(limit, "sizeLimit %q is not a whole number of bytes from 4Ki to 8Ei", e.SizeLimit)
		}
	}
}

func (ps *problems) mounts(at string, mounts []VolumeMount) {
	paths := map[string]int{}
	for i := range mounts {
		m, at := &mounts[i], fmt.Sprintf("%s[%d]", at, i)
		if m.Name == "" {
			ps.addf(at+".name", "missing; use the name of one of spec.volumes")
		} else if ps.pod.volume(m.Name) == nil {
			ps.noVolume(at+".name", m.Name)
		}
		if ps.mountPath(at+".mountPath", m.MountPath) {
			ps.unique(paths, i, at+".mountPath", "volumeMounts[%d]", path.Clean(m.MountPath))
		}
		switch {
		case path.IsAbs(m.SubPath):
			ps.addf(at+".subPath", "%q is absolute; write it relative to the volume", m.SubPath)
		case hasDotDot(m.SubPath):
			ps.addf(at+".subPath", "%q contains \"..\"", m.SubPath)
		}
	}
}

func (ps *problems) noVolume(at, name string) {
	if len(ps.pod.Spec.Volumes) == 0 {
		ps.addf(at, "no volume %q: spec.volumes is empty", name)
		return
	}
	var names []string
	for i := range ps.pod.Spec.Volumes {
		names = append(names, ps.pod.Spec.Volumes[i].Name)
	}
	ps.addf(at, "no volume %q in spec.volumes, which has %s", name, strings.Join(names, ", "))
}

func (ps *problems) mountPath(at, mountPath string) bool {
	clean := path.Clean(mountPath)
	switch {
	case mountPath == "":
		ps.addf(at, "missing")
	case !path.IsAbs(mountPath):
		ps.addf(at, "%q is not absolute", mountPath)
	case hasDotDot(mountPath):
		ps.addf(at, "%q contains \"..\"", mountPath)
	case clean == "/":
		ps.addf(at, "%q would hide the whole image; use a directory below it", mountPath)
	case clean == "/dev" || clean == "/proc" || strings.HasPrefix(clean, "/proc/"):
		ps.addf(at, "%q belongs to the container itself", mountPath)
	default:
		return true
	}
	return false
}

func hasDotDot(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }
