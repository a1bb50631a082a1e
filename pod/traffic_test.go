package pod

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/proc"
	"github.com/peapod/peapod/internal/testkit"
	"github.com/peapod/peapod/proxy"
	"golang.org/x/sys/unix"
)

// awaitSockets waits until so many processes can be asked.
func (s *stage) awaitSockets(n int) {
	s.t.Helper()
	testkit.Eventually(s.t, fmt.Sprintf("%d processes have a socket", n), func() bool { return len(s.sockets()) == n })
}

// traffic is what all processes have forwarded, by endpoint, "service/name".
func (s *stage) traffic(services ...string) map[string]EndpointTraffic {
	s.t.Helper()
	list, err := s.store.Traffic(testkit.Soon(s.t), services...)
	if err != nil {
		s.t.Fatal(err)
	}
	sums := map[string]EndpointTraffic{}
	for _, p := range MergeTraffic(list) {
		for _, e := range p.Endpoints {
			sums[p.Service+"/"+e.Name] = e
		}
	}
	return sums
}

// sockets are the names of those that processes have.
func (s *stage) sockets() (names []string) {
	entries, _ := os.ReadDir(s.store.hubsDir())
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What two processes have forwarded is added up, to the byte.
func TestTrafficIsTrue(t *testing.T) {
	s := newStage(t)
	address := s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}}}`)[0].Service.Spec.ClusterIP + ":80"
	web := s.serve("web", 80)
	sup, out := s.start(web)
	out.await("a: ready", 1)
	const connections = 40
	text := strings.Repeat("x", 1000)
	for range connections {
		if got := ask(t, address, text); got != text+"bye" {
			t.Fatalf("%q", got)
		}
	}
	// One that stays open is counted too.
	c := dial(t, address)
	if _, err := io.WriteString(c, "12345"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	client := s.pod(box("b", "ask "+address+" hello; ask "+address+" hello; hold"))
	name, err := s.detach(client)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitLog(name, "b: ready")
	id := "web/" + web.Metadata.Name
	want := EndpointTraffic{
		ID: fmt.Sprintf("%s/%d-%d", web.Metadata.Name, os.Getpid(), sup.Status().StartTime.UnixNano()), Name: web.Metadata.Name, Address: "127.0.0.1:80", States: map[string]int{"ready": 2},
		Active: 1, Total: connections + 3, In: connections*1000 + 5 + 2*5, Out: connections*1003 + 5 + 2*8,
	}
	testkit.Until(t, func() string {
		all := s.traffic()
		got := all[id]
		latency := got.Connect
		got.Connect = nil
		if !reflect.DeepEqual(got, want) || len(all) != 1 || latency.Count() != connections+3 || latency.Quantile(0.5) <= 0 {
			return fmt.Sprintf("%+v\nwant %+v\nof %d", got, want, len(all))
		}
		return ""
	})
	if got := s.traffic("other"); len(got) != 0 {
		t.Errorf("of another service: %v", got)
	}
	if n := len(s.sockets()); n != 2 {
		t.Errorf("%d sockets, want one for each process", n)
	}
	for _, socket := range s.sockets() {
		if info, err := os.Stat(filepath.Join(s.store.hubsDir(), socket)); err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	c.Close()
}

// Connections that cannot be made are counted, and what that makes of the
// endpoint is told.
func TestTrafficOfFailures(t *testing.T) {
	s := newStage(t)
	address := s.services(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"}, "spec": {"ports": [{"port": 5432}]}}
{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": %d}]}]}`, freePort(t)))[0].Service.Spec.ClusterIP + ":5432"
	s.awaitSockets(1)
	c := dial(t, address)
	io.Copy(io.Discard, c)
	var got EndpointTraffic
	for _, got = range s.traffic() {
	}
	if got.Failed == 0 || got.Failed != got.Total || got.Active != 0 || got.States["set aside"] != 1 || got.Connect != nil {
		t.Errorf("%+v", got)
	}
}

// Clients that wait for a pod are counted.
func TestTrafficOfTheQueue(t *testing.T) {
	s := newStage(t)
	address := s.services(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "annotations": {"peapod.dev/max-connections": "1", "peapod.dev/queue": "9"}},
 "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}}`)[0].Service.Spec.ClusterIP + ":80"
	_, out := s.start(s.serve("web", 80))
	out.await("a: ready", 1)
	for range 4 {
		dial(t, address)
	}
	testkit.Until(t, func() string {
		list, err := s.store.Traffic(testkit.Soon(t), "web")
		if all := MergeTraffic(list); err != nil || len(all) != 1 || all[0].Waiting != 3 || len(all[0].Endpoints) != 1 || all[0].Endpoints[0].Active != 1 {
			return fmt.Sprintf("%+v, %v", all, err)
		}
		return ""
	})
}

// Datagrams are counted as connections are.
func TestTrafficOfUDP(t *testing.T) {
	s := newStage(t)
	address := s.services(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns"}, "spec": {"ports": [{"port": 53, "protocol": "UDP"}]}}
{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "dns"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": %d, "protocol": "UDP"}]}]}`, echoUDP(t, "udp")))[0].Service.Spec.ClusterIP + ":53"
	s.awaitSockets(1)
	askUDP(t, address, "question")
	for name, e := range s.traffic() {
		if e.In != 8 || e.Out != 12 || e.Total != 1 || e.Active != 1 {
			t.Errorf("%s: %+v", name, e)
		}
		return
	}
	t.Error("nothing was counted")
}

// Many may ask at once, and nobody who asks badly, or says nothing, is in their
// way.
func TestTrafficForMany(t *testing.T) {
	s := newStage(t)
	s.services(simpleService("web"))
	s.awaitSockets(1)
	talk := func(line string) (answer string) {
		c := s.dialHub()
		defer c.Close()
		io.WriteString(c, line)
		b, _ := io.ReadAll(c)
		return string(b)
	}
	silent := s.dialHub()
	defer silent.Close()
	for line, want := range map[string]string{
		"{}\n": "version 0 of requests", "x\n": "not a request", `{"version": 2}` + "\n": "version 2", strings.Repeat("x", maxTrafficRequest+1): "",
		`{"version":1}` + "\n": `"service":"web"`,
	} {
		if got := talk(line); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%.20q: %q, want %q", line, got, want)
		}
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			list, err := s.store.Traffic(testkit.Soon(t))
			if err != nil || len(list) != 1 || len(list[0].Ports) != 1 || list[0].PID != os.Getpid() {
				t.Errorf("%+v, %v", list, err)
			}
		})
	}
	all.Wait()
}

// dialHub connects to this process's socket.
func (s *stage) dialHub() (c net.Conn) {
	s.t.Helper()
	testkit.Until(s.t, func() string {
		if err := inDir(s.store.hubsDir(), s.sockets()[0], func(path string) (err error) {
			c, err = net.Dial("unix", path)
			return err
		}); err != nil {
			return err.Error()
		}
		return ""
	})
	c.SetDeadline(time.Now().Add(testkit.Patience))
	return c
}

// There is no socket without a service, and none when the services have gone;
// who is asking then is not waited for.
func TestTrafficSocketGoes(t *testing.T) {
	s := newStage(t)
	if list, err := s.store.Traffic(t.Context()); list != nil || err != nil {
		t.Errorf("without anything: %v, %v", list, err)
	}
	_, out := s.start(s.serve("web", 80))
	out.await("a: ready", 1)
	if got := s.sockets(); len(got) != 0 {
		t.Errorf("without a service: %q", got)
	}
	m := parseServices(t, simpleService("web"))
	v, err := s.store.serve(m.Services, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	s.awaitSockets(1)
	silent := s.dialHub()
	defer silent.Close()
	v.end()
	// One that goes at once, too.
	if v, err = s.store.serve(m.Services, nil, ""); err != nil {
		t.Fatal(err)
	}
	v.end()
}

// A supervisor that is killed leaves its socket, which is in nobody's way and
// goes with its pods; one that is stopped is told.
func TestTrafficOfTheDead(t *testing.T) {
	s := newStage(t)
	s.services(simpleService("web"))
	name, err := s.detach(s.pod(box("a", "hold")))
	if err != nil {
		t.Fatal(err)
	}
	s.awaitSockets(2)
	pid := s.get(name).Supervisor.PID
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	list, err := s.store.Traffic(ctx)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", pid)) || len(list) != 1 || list[0].PID != os.Getpid() {
		t.Errorf("one is stopped: %v, %v", list, err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the dead one is not missed", func() bool {
		list, err := s.store.Traffic(t.Context())
		return err == nil && len(list) == 1 && len(s.sockets()) == 1
	})
}

// What removes a dead supervisor's pod removes its services and its socket.
func TestRemoveWithServices(t *testing.T) {
	s := newStage(t)
	pod := s.pod(box("a", "hold"))
	name, err := s.detach(pod, func(d *Detached) {
		d.Data = append(d.Data, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}`...)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.awaitSockets(1)
	if _, err := s.store.GetService("web"); err != nil {
		t.Fatal(err)
	}
	supervisor, err := proc.Find(s.get(name).Supervisor.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(supervisor.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "the supervisor has gone", func() bool { return !supervisor.Alive() })
	if err := s.store.Remove(testkit.Soon(t), name, false); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft()
}

// A socket whose name is a dead process's goes only when nobody listens.
func TestSweepSockets(t *testing.T) {
	s := &Store{Root: t.TempDir()}
	if err := makePrivate(s.hubsDir()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dead, err := proc.Find(cmd.Process.Pid)
	cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	listen := func(name string) *net.UnixListener {
		var l *net.UnixListener
		if err := inDir(s.hubsDir(), name, func(path string) (err error) {
			l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		return l
	}
	left, elsewhere := socketName(dead, 1), socketName(dead, 2)
	listen(left).Close()
	defer listen(elsewhere).Close()
	stranger := filepath.Join(s.hubsDir(), "x.sock")
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.sweepSockets()
	if _, err := os.Stat(filepath.Join(s.hubsDir(), left)); err == nil {
		t.Error("a dead process's socket is left")
	}
	for _, name := range []string{elsewhere, "x.sock"} {
		if _, err := os.Stat(filepath.Join(s.hubsDir(), name)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzSocketName(f *testing.F) {
	f.Add("12-345-1.sock")
	f.Add("-1-2-3.sock")
	f.Add("..sock")
	f.Fuzz(func(t *testing.T, name string) {
		if id, ok := parseSocketName(name); ok && (id.PID <= 0 || strings.ContainsAny(name, "/\x00") || !strings.HasSuffix(name, ".sock")) {
			t.Fatalf("%q is %v", name, id)
		}
	})
}

func TestMergeTraffic(t *testing.T) {
	h := func(d ...time.Duration) *proxy.Histogram {
		h := &proxy.Histogram{}
		for _, d := range d {
			h.Add(d)
		}
		return h
	}
	e := func(name, state string, n int, c *proxy.Histogram) EndpointTraffic {
		return EndpointTraffic{ID: name + "/1", Name: name, Address: netip.MustParseAddrPort("127.0.0.1:80").String(), States: map[string]int{state: 1},
			Active: n, Total: uint64(2 * n), Failed: uint64(n), In: int64(10 * n), Out: int64(100 * n), Connect: c}
	}
	got := MergeTraffic([]ProcessTraffic{
		{PID: 1, Ports: []PortTraffic{
			{Service: "web", Port: 80, Protocol: "TCP", Waiting: 1, Endpoints: []EndpointTraffic{e("b", "ready", 1, h(1)), e("a", "ready", 2, nil)}},
			{Service: "db", Port: 1, Protocol: "UDP"},
		}},
		{PID: 2, Ports: []PortTraffic{{Service: "web", Port: 80, Protocol: "TCP", Waiting: 2, Endpoints: []EndpointTraffic{e("b", "set aside", 3, h(2, 3))}}}},
	})
	if len(got) != 2 || got[0].Service != "db" || got[0].Endpoints == nil || got[1].Waiting != 3 || len(got[1].Endpoints) != 2 || got[1].Endpoints[0].Name != "a" {
		t.Fatalf("%+v", got)
	}
	b := got[1].Endpoints[1]
	if b.Active != 4 || b.Total != 8 || b.Failed != 4 || b.In != 40 || b.Out != 400 || b.Connect.Count() != 3 || b.States["ready"] != 1 || b.States["set aside"] != 1 {
		t.Errorf("%+v", b)
	}
}

func FuzzTrafficRequest(f *testing.F) {
	f.Add([]byte(`{"version": 1, "services": ["web"]}`))
	f.Add([]byte(`{"version": 1e0}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, err := parseTrafficRequest(line); err == nil && r.Version != trafficVersion {
			t.Fatalf("%q is %+v", line, r)
		}
	})
}
