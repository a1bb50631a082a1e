package networks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peapod/peapod/internal/nearest"
)

// pluginList is a CNI network: plugins that are called one after the other,
// https://www.cni.dev/docs/spec/.
type pluginList struct {
	Version      string                       `json:"cniVersion"`
	Name         string                       `json:"name"`
	DisableCheck bool                         `json:"disableCheck,omitempty"`
	Plugins      []map[string]json.RawMessage `json:"plugins"`
}

// versions are those whose results peapod reads; older ones have another form.
var versions = []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

func (l *pluginList) check() error {
	if !plainName(l.Name, maxPod) {
		return fmt.Errorf("%q is no name of a CNI network", l.Name)
	}
	if !slices.Contains(versions, l.Version) {
		return fmt.Errorf("cniVersion %q: want one of %s", l.Version, strings.Join(versions, ", "))
	}
	if len(l.Plugins) == 0 {
		return errors.New("no plugins")
	}
	for i, p := range l.Plugins {
		if name := pluginType(p); !plainName(name, maxPod) {
			return fmt.Errorf("plugins[%d].type: %q is no name of a plugin", i, name)
		}
	}
	return nil
}

func pluginType(p map[string]json.RawMessage) (name string) {
	json.Unmarshal(p["type"], &name)
	return name
}

// parsePluginList reads the file of a network (.conflist), or of a plugin that
// is one by itself (.conf).
func parsePluginList(data []byte) (*pluginList, error) {
	l := &pluginList{}
	if err := json.Unmarshal(data, l); err != nil {
		return nil, err
	}
	if l.Plugins == nil {
		var single map[string]json.RawMessage
		if err := json.Unmarshal(data, &single); err != nil {
			return nil, err
		}
		if single["type"] != nil {
			l.Plugins = append(l.Plugins, single)
		}
	}
	return l, l.check()
}

// findPluginList finds the network of a name among the files of a directory.
func findPluginList(dir, name string) (*pluginList, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if !slices.Contains([]string{".conflist", ".conf", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		l, err := parsePluginList(data)
		if l != nil && l.Name == name {
			return l, fail("read", path, err)
		}
		if l != nil && l.Name != "" {
			found = append(found, l.Name)
		}
	}
	text := "no file of " + dir + " has a network of this name"
	switch near := nearest.Name(name, found); {
	case near != "":
		text += "; did you mean " + near + "?"
	case len(found) == 0:
		text += "; there is none"
	default:
		text += "; there is " + strings.Join(found, ", ")
	}
	return nil, &worded{text, fs.ErrNotExist}
}

// pluginCall is what the plugins of a network are called with.
type pluginCall struct {
	id, netns string
	dirs      []string
	list      *pluginList
	result    json.RawMessage // of the last plugin; none before
}

// add calls the plugins in order, each with the result of the one before.
func (c *pluginCall) add(ctx context.Context) (result json.RawMessage, err error) {
	for _, p := range c.list.Plugins {
		if result, err = c.call(ctx, "ADD", p, result); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// del calls them in the opposite order. Each undoes what there is to undo,
// whatever became of the others.
func (c *pluginCall) del(ctx context.Context) error {
	var errs []error
	for _, p := range slices.Backward(c.list.Plugins) {
		_, err := c.call(ctx, "DEL", p, c.result)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *pluginCall) check(ctx context.Context) error {
	if c.list.DisableCheck || strings.HasPrefix(c.list.Version, "0.3.") {
		return nil // the version has no such command
	}
	for _, p := range c.list.Plugins {
		if _, err := c.call(ctx, "CHECK", p, c.result); err != nil {
			return err
		}
	}
	return nil
}

// call runs one plugin, in the network namespace of the calling thread.
func (c *pluginCall) call(ctx context.Context, command string, p map[string]json.RawMessage, previous json.RawMessage) (json.RawMessage, error) {
	name := pluginType(p)
	path, err := c.find(name)
	if err != nil {
		return nil, err
	}
	input, err := c.input(p, previous)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.WaitDelay = time.Second // for what it left behind with its output open
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &complaint
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+c.id, "CNI_NETNS="+c.netns,
		"CNI_IFNAME="+inside, "CNI_ARGS=IgnoreUnknown=1", "CNI_PATH="+strings.Join(c.dirs, ":"))
	if err := cmd.Run(); err != nil {
		return nil, fail("call", "CNI plugin "+path+" to "+pluginVerbs[command], explainPlugin(err, out.Bytes(), complaint.Bytes()))
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func (c *pluginCall) find(name string) (string, error) {
	for _, dir := range c.dirs {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &worded{fmt.Sprintf("its CNI plugin %s is not installed: %s have none of this name (Debian has the usual ones in the package containernetworking-plugins)",
		name, strings.Join(c.dirs, ", ")), fs.ErrNotExist}
}

// findAll fails when one of the network's plugins is not there.
func (c *pluginCall) findAll() error {
	for _, p := range c.list.Plugins {
		if _, err := c.find(pluginType(p)); err != nil {
			return err
		}
	}
	return nil
}

// input is a plugin's own configuration with what the network adds to it.
func (c *pluginCall) input(p map[string]json.RawMessage, previous json.RawMessage) ([]byte, error) {
	all := make(map[string]any, len(p)+3)
	for k, v := range p {
		all[k] = v
	}
	delete(all, "capabilities") // are for the runtime
	all["name"], all["cniVersion"] = c.list.Name, c.list.Version
	if len(previous) > 0 {
		all["prevResult"] = previous
	}
	return json.Marshal(all)
}

// pluginVerbs are what a plugin is called for.
var pluginVerbs = map[string]string{"ADD": "set it up", "DEL": "take it down", "CHECK": "check it"}

// explainPlugin finds the plugin's own words about its failure.
func explainPlugin(err error, out, complaint []byte) error {
	var told struct {
		Message string `json:"msg"`
		Details string `json:"details"`
	}
	text := strings.TrimSpace(string(complaint))
	if json.Unmarshal(out, &told) == nil && told.Message != "" {
		text = strings.TrimSuffix(told.Message+"; "+told.Details, "; ")
	}
	if text == "" {
		return err
	}
	return &worded{text, err} // that it had an exit status adds nothing
}
