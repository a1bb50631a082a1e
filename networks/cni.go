package networks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// CNIOptions say where networks of mode [CNI] come from.
type CNIOptions struct {
	// ConfigDir has the networks' files; "" is /etc/cni/net.d.
	ConfigDir string
	// PluginDirs are where plugins are looked for; nil is /opt/cni/bin,
	// /usr/lib/cni and /usr/libexec/cni.
	PluginDirs []string
}

func (o CNIOptions) withDefaults() CNIOptions {
	if o.ConfigDir == "" {
		o.ConfigDir = "/etc/cni/net.d"
	}
	if len(o.PluginDirs) == 0 {
		o.PluginDirs = []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"}
	}
	return o
}

// cniRecord is all that it takes to undo what plugins did.
type cniRecord struct {
	// ID is what the plugins know the pod by.
	ID         string     `json:"id"`
	PluginDirs []string   `json:"pluginDirs"`
	List       pluginList `json:"list"`
	// Result is what the last plugin returned, if all were done.
	Result json.RawMessage `json:"result,omitempty"`
}

func (r *cniRecord) check() error {
	if !plainName(r.ID, maxPod+64) {
		return fmt.Errorf("%q is no name of a container", r.ID)
	}
	return r.List.check()
}

// plugins lets the plugins of a CNI network do it. They get the namespace as a
// file, below the state directory, on which it is mounted: so it outlives a
// crash until the plugins have undone what they did, and programs that they are
// the front of can open it too.
func (a *Attachment) plugins(ctx context.Context, o *Options) error {
	options := o.CNI.withDefaults()
	list, err := findPluginList(options.ConfigDir, o.Network.Name)
	if err != nil {
		return err
	}
	r := &cniRecord{ID: a.pod + "-" + randomText(), PluginDirs: options.PluginDirs, List: *list}
	if err := r.call("").findAll(); err != nil {
		return err
	}
	a.record.CNI = r
	if err := a.record.writeTo(a.file); err != nil {
		return err
	}
	path, err := a.state.mountNetns(a.pod, o.Netns)
	if err != nil {
		return err
	}
	if r.Result, err = r.call(path).add(ctx); err != nil {
		return err
	}
	if err := a.record.writeTo(a.file); err != nil {
		return err
	}
	result, err := parseResult(r.Result)
	if err != nil {
		return fail("read", "the result of CNI network "+list.Name, err)
	}
	a.Interface, a.MTU = inside, result.mtu(inside)
	a.Addresses, a.Gateways = result.addresses(inside)
	a.record.Addresses = a.Addresses
	return nil
}

// disconnect lets the plugins undo what they did.
func (s state) disconnect(ctx context.Context, pod string, r *cniRecord) error {
	path := s.netns(pod)
	if _, err := os.Stat(path); err != nil {
		path = "" // plugins are to give back the rest without it
	}
	if err := r.call(path).del(ctx); err != nil {
		return err
	}
	return s.unmountNetns(pod)
}

func (r *cniRecord) call(netns string) *pluginCall {
	return &pluginCall{id: r.ID, netns: netns, dirs: r.PluginDirs, list: &r.List, result: r.Result}
}

// Check asks the plugins of a CNI network whether all is still as they left
// it. For other networks, and those that have no check, it does nothing.
func (a *Attachment) Check(ctx context.Context) error {
	if a.file == nil || a.record.CNI == nil {
		return nil
	}
	return fail("check", "the network of pod "+a.pod, a.record.CNI.call(a.state.netns(a.pod)).check(ctx))
}

// mountNetns mounts the namespace on a file.
func (s state) mountNetns(pod string, netns *os.File) (string, error) {
	path := s.netns(pod)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return "", err
	}
	f.Close()
	err = unix.Mount(fmt.Sprintf("/proc/thread-self/fd/%d", netns.Fd()), path, "", unix.MS_BIND, "")
	return path, fail("mount the pod's network namespace on", path, err)
}

func (s state) unmountNetns(pod string) error {
	path := s.netns(pod)
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fail("unmount", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// cniResult is what is of interest of a plugin's result.
type cniResult struct {
	Version    string `json:"cniVersion"`
	Interfaces []struct {
		Name    string `json:"name"`
		Sandbox string `json:"sandbox"`
		MTU     int    `json:"mtu"`
	} `json:"interfaces"`
	IPs []struct {
		Address   netip.Prefix `json:"address"`
		Gateway   netip.Addr   `json:"gateway"`
		Interface *int         `json:"interface"`
	} `json:"ips"`
}

func parseResult(data []byte) (*cniResult, error) {
	r := &cniResult{}
	if len(data) == 0 {
		return r, nil // a network of plugins that return none, such as loopback
	}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	return r, nil
}

// addresses are those of the pod's interface, and the gateways.
func (r *cniResult) addresses(name string) (list []netip.Prefix, gateways []netip.Addr) {
	for _, ip := range r.IPs {
		if i := ip.Interface; i != nil && (*i < 0 || *i >= len(r.Interfaces) || r.Interfaces[*i].Name != name) {
			continue
		}
		if ip.Address.IsValid() {
			list = append(list, ip.Address)
		}
		if ip.Gateway.IsValid() && !slices.Contains(gateways, ip.Gateway) {
			gateways = append(gateways, ip.Gateway)
		}
	}
	return list, gateways
}

// mtu is that of the pod's interface, 0 where the plugins do not tell.
func (r *cniResult) mtu(name string) int {
	for _, i := range r.Interfaces {
		if i.Name == name && i.Sandbox != "" {
			return i.MTU
		}
	}
	return 0
}
