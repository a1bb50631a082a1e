package networks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peapod/peapod/namespaces"
)

// debianPlugins is where the package containernetworking-plugins has them.
const debianPlugins = "/usr/lib/cni"

// The plugins that most hosts have: a bridge with addresses of a range.
func TestRealPlugins(t *testing.T) {
	for _, name := range []string{"bridge", "host-local", "tuning"} {
		if _, err := os.Stat(filepath.Join(debianPlugins, name)); err != nil {
			t.Skipf("%v: apt-get install containernetworking-plugins", err)
		}
	}
	dir, addresses := t.TempDir(), t.TempDir()
	configure(t, dir, fmt.Sprintf(`{"cniVersion":"1.0.0","name":"real","plugins":[
		{"type":"bridge","bridge":"cni7","isDefaultGateway":true,
		 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.77.0.0/24"}]],"dataDir":%q}},
		{"type":"tuning","sysctl":{"net.ipv4.conf.all.log_martians":"1"}}]}`, addresses))
	t.Cleanup(func() { // the plugin leaves its bridge
		c := hostConn(t)
		defer c.Close()
		if err := deleteLink(c, "cni7", isBridge); err != nil {
			t.Error(err)
		}
	})
	o := optionsIn(t.TempDir(), "one", newPod(t))
	o.Network, o.CNI = Spec{Mode: CNI, Name: "real"}, CNIOptions{ConfigDir: dir, PluginDirs: []string{debianPlugins}}
	a := attach(t, o)
	if len(a.Addresses) != 1 || !prefix("10.77.0.0/24").Contains(a.Addresses[0].Addr()) || len(a.Gateways) != 1 {
		t.Fatalf("attached as %+v", a)
	}
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	other := o
	other.Pod, other.Netns = "two", newPod(t)
	b := attach(t, other)
	to := serve(t, other.Netns, b.Addresses[0].Addr())
	if seen, err := call(t, o.Netns, to, soon); err != nil || seen != a.Addresses[0].Addr().String() {
		t.Errorf("seen as %q, %v", seen, err)
	}
	b.file.Close() // a crash
	if err := Release(t.Context(), o.StateDir, "two"); err != nil {
		t.Error(err)
	}
	b.file = nil
	if err := a.Detach(t.Context()); err != nil {
		t.Error(err)
	}
	if got := left(t, o.StateDir); len(got) > 0 {
		t.Errorf("left over: %v", got)
	}
	if got, _ := filepath.Glob(addresses + "/real/10.*"); len(got) > 0 {
		t.Errorf("addresses that the plugin still has leased: %v", got)
	}
	if got := hostLinks(t); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "veth") }) {
		t.Errorf("links %v", got)
	}
}

func configure(t *testing.T, dir, list string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "10-test.conflist"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fakePlugin notes how it is called, and fails where a file says so.
const fakePlugin = `#!/bin/sh
dir=${0%/*}
input=$(cat)
printf '%s %s %s %s %s\n' "$CNI_COMMAND" "${0##*/}" "$CNI_IFNAME" "$CNI_CONTAINERID" "$CNI_NETNS" >>"$dir/calls"
printf '%s\n' "$input" >>"$dir/inputs"
if test -e "$dir/fail-$CNI_COMMAND-${0##*/}"; then
	echo '{"cniVersion":"1.0.0","code":7,"msg":"no luck","details":"today"}'
	exit 1
fi
if test "$CNI_COMMAND" = ADD; then
	echo '{"cniVersion":"1.0.0","interfaces":[{"name":"v"},{"name":"eth0","sandbox":"'"$CNI_NETNS"'","mtu":1400}],"ips":[{"address":"10.3.0.9/24","gateway":"10.3.0.1","interface":1},{"address":"10.4.0.9/24","interface":0}],"made":"'"${0##*/}"'"}'
fi
`

// fakeNetwork is a network of the plugins a and b.
func fakeNetwork(t *testing.T) (o Options, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fakePlugin), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	configure(t, dir, `{"cniVersion":"1.0.0","name":"fake","plugins":[{"type":"a","colour":"red","capabilities":{"x":true}},{"type":"b"}]}`)
	o = optionsIn(t.TempDir(), "shop", newPod(t))
	o.Network, o.CNI = Spec{Mode: CNI, Name: "fake"}, CNIOptions{ConfigDir: dir, PluginDirs: []string{"/nonexistent", dir}}
	return o, dir
}

// calls returns what the plugins were called for so far.
func calls(t *testing.T, dir string) (list []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		list = append(list, strings.Join(strings.Fields(line)[:2], " "))
	}
	return list
}

func TestPluginProtocol(t *testing.T) {
	o, dir := fakeNetwork(t)
	a := attach(t, o)
	if len(a.Addresses) != 1 || a.Addresses[0] != prefix("10.3.0.9/24") || a.MTU != 1400 || a.Gateways[0].String() != "10.3.0.1" {
		t.Errorf("attached as %+v", a)
	}
	same(t, o, dir)
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Detach(t.Context()); err != nil {
		t.Error(err)
	}
	want := []string{"ADD a", "ADD b", "CHECK a", "CHECK b", "DEL b", "DEL a"}
	if got := calls(t, dir); !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	var inputs []map[string]any
	data, _ := os.ReadFile(filepath.Join(dir, "inputs"))
	for line := range strings.Lines(string(data)) {
		var in map[string]any
		if err := json.Unmarshal([]byte(line), &in); err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, in)
	}
	first, second := inputs[0], inputs[1]
	if first["colour"] != "red" || first["name"] != "fake" || first["cniVersion"] != "1.0.0" || first["prevResult"] != nil || first["capabilities"] != nil {
		t.Errorf("the first plugin's input: %v", first)
	}
	for i, from := range map[int]string{1: "a", 2: "b", 3: "b", 4: "b", 5: "b"} {
		previous, _ := inputs[i]["prevResult"].(map[string]any)
		if previous["made"] != from {
			t.Errorf("call %d has the result %v, want that of %s", i, previous, from)
		}
	}
	if second["type"] != "b" {
		t.Errorf("the second plugin's input: %v", second)
	}
}

// same checks that the path which plugins got is the pod's namespace.
func same(t *testing.T, o Options, dir string) {
	t.Helper()
	data, _ := os.ReadFile(filepath.Join(dir, "calls"))
	fields := strings.Fields(string(data))
	if fields[2] != "eth0" || !strings.HasPrefix(fields[3], "shop-") {
		t.Errorf("called as %q", fields)
	}
	f, err := namespaces.Open(namespaces.Network, fields[4])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if same, err := namespaces.Same(f, o.Netns); err != nil || !same {
		t.Errorf("%s is another namespace (%v)", fields[4], err)
	}
}

// A plugin that fails has the others' work undone, and says why in its own words.
func TestPluginFails(t *testing.T) {
	o, dir := fakeNetwork(t)
	if err := os.WriteFile(filepath.Join(dir, "fail-ADD-b"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Attach(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "no luck; today") {
		t.Errorf("got %v", err)
	}
	if got, want := calls(t, dir), []string{"ADD a", "ADD b", "DEL b", "DEL a"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	if got := left(t, o.StateDir); len(got) > 0 {
		t.Errorf("left over: %v", got)
	}
}

// After a crash the plugins are called as they were, whatever the configuration
// says by now; when one of them fails, they are called again.
func TestPluginCrash(t *testing.T) {
	o, dir := fakeNetwork(t)
	a, err := Attach(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	a.file.Close()
	failing := filepath.Join(dir, "fail-DEL-b")
	if err := errors.Join(os.Remove(filepath.Join(dir, "10-test.conflist")), os.WriteFile(failing, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Release(t.Context(), o.StateDir, "shop"); err == nil {
		t.Error("a plugin failed and Release did not")
	}
	if err := os.Remove(failing); err != nil {
		t.Fatal(err)
	}
	if err := Release(t.Context(), o.StateDir, "shop"); err != nil {
		t.Error(err)
	}
	if got, want := calls(t, dir), []string{"ADD a", "ADD b", "DEL b", "DEL a", "DEL b", "DEL a"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
	if got := left(t, o.StateDir); len(got) > 0 {
		t.Errorf("left over: %v", got)
	}
}

func TestPluginMissing(t *testing.T) {
	o, dir := fakeNetwork(t)
	o.Network.Name = "other"
	if _, err := Attach(t.Context(), o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is fake") {
		t.Errorf("a network that nobody configured: %v", err)
	}
	o.Network.Name = "fake"
	if err := os.Remove(filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(t.Context(), o); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "CNI plugin b") {
		t.Errorf("a plugin that is not there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "calls")); err == nil {
		t.Errorf("others were called: %v", calls(t, dir))
	}
}

func TestPluginListRefused(t *testing.T) {
	for text, why := range map[string]string{
		`{"name":"n","plugins":[{"type":"a"}]}`:                         `cniVersion ""`,
		`{"cniVersion":"0.2.0","name":"n","plugins":[{"type":"a"}]}`:    `cniVersion "0.2.0"`,
		`{"cniVersion":"1.0.0","name":"n"}`:                             "no plugins",
		`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../a"}]}`: `"../a" is no name of a plugin`,
		`{"cniVersion":"1.0.0","plugins":[{"type":"a"}]}`:               `"" is no name of a CNI network`,
		`{`: "unexpected end",
	} {
		if _, err := parsePluginList([]byte(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if l, err := parsePluginList([]byte(`{"cniVersion":"0.4.0","name":"n","type":"loopback"}`)); err != nil || len(l.Plugins) != 1 {
		t.Errorf("a plugin by itself: %+v, %v", l, err)
	}
}
