package integration

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peapod/peapod/internal/testkit"
	"golang.org/x/sys/unix"
)

// examples/shop: five pods that find each other by services. Replicas die, are
// stopped and restarted under load, and the queue forgets what is in it: no order
// is lost.
func TestShop(t *testing.T) {
	begin := time.Now()
	step := func(what string) { t.Logf("%6.1f s: %s", time.Since(begin).Seconds(), what) }
	s := newShop(t)
	s.start()
	step("ready")
	load := s.load(8)
	load.sees(100)
	s.killReplica(load)
	step("killed")
	s.roll(load)
	step("rolled")
	s.replaceReplica(load)
	step("replaced")
	s.restartReplicas(load)
	step("restarted")
	orders := load.stop()
	t.Logf("%d orders", len(orders))
	orders = append(orders, s.forgetfulQueue()...)
	step("queue back")
	s.allDone(orders)
	step("all done")

	s.end()
}

// The first step of taking it apart: PostgreSQL is outside, a server on the host,
// and found by its name all the same, by what the README writes into the manifest.
func TestShopOutside(t *testing.T) {
	s := newShop(t)
	server := s.take("Deployment", s.db)
	container := templateOf(server)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["ports"] = []any{map[string]any{"name": "postgres", "containerPort": 5432, "hostPort": 5432, "hostIP": "127.0.0.1"}}
	s.run("db.json", server)
	s.take("Service", "db")
	_, text, _ := strings.Cut(read(t, "../examples/shop/README.md"), "```json")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("the README has no objects in JSON")
	}
	s.items = append(s.items, decode[[]map[string]any](t, "["+text+"]")...)
	s.start()
	b := &buyer{shop: s}
	if !b.order() {
		t.Fatal(b.failed)
	}
	s.allDone(b.orders)
	s.end()
}

// killReplica kills one replica's process: what fails is what was in flight
// there, on connections that were made before its end.
func (s *shop) killReplica(load *load) {
	s.t.Helper()
	victim, others := s.web+"-0", []string{s.web + "-1", s.web + "-2"}
	load.spread(append(others, victim)...)
	before := [][]int{load.connections(others[0]), load.connections(others[1])}
	gone := s.kill(victim + ".web")
	s.awaitReady(victim, 1)
	load.sees(100)
	for k, other := range others {
		for i, n := range load.connections(other) {
			if before[k][i] != 0 && n != before[k][i] {
				s.t.Errorf("client %d lost its connection to %s, which lives on", i, other)
			}
		}
	}
	for i, list := range load.failures() {
		for _, f := range list {
			if slices.Contains(others, f.replica) || f.dialled.After(gone) {
				s.t.Errorf("client %d, where %s was killed: %v", i, victim, f)
			}
		}
	}
}

// roll has new pods replace all of the replicas, a few at a time. Nothing fails.
func (s *shop) roll(load *load) {
	s.t.Helper()
	replicas := []string{s.web + "-0", s.web + "-1", s.web + "-2"}
	load.spread(replicas...)
	load.unharmed("no one")
	before := load.asked.Load()
	// Each replica takes its time to say good-bye.
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*testkit.Patience)
	defer cancel()
	finish(s.t, exec.CommandContext(ctx, binary, "pod", "restart", "deployment/"+s.web)).ok()
	s.t.Logf("%d requests during a rolling restart", load.asked.Load()-before)
	load.sees(50)
	load.unharmed("a rolling restart")
	nothingOf(s.t, s.web+"-3")
	load.spread(replicas...) // all of them get connections
}

// replaceReplica stops the pod of a replica, and runs another one in its place,
// by a process of its own. Nothing fails.
func (s *shop) replaceReplica(load *load) {
	s.t.Helper()
	name := s.web + "-1"
	peapod(s.t, "pod", "stop", name).ok()
	load.sees(50)
	load.unharmed("pod stop")
	peapod(s.t, "pod", "rm", name).ok()
	template := templateOf(s.take("Deployment", s.web))
	s.run("replica.json", map[string]any{
		"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
		"metadata": map[string]any{"name": name, "labels": template["metadata"].(map[string]any)["labels"]},
	})
	s.awaitReady(name, 0)
	load.spread(s.web+"-0", name) // it gets connections
	load.unharmed("another pod in its place")
}

// restartReplicas restarts one replica after the other. Nothing fails.
func (s *shop) restartReplicas(load *load) {
	s.t.Helper()
	for _, name := range []string{s.web + "-0", s.web + "-1"} {
		peapod(s.t, "pod", "exec", name, "--", "sh", "-c", "kill 1").ok()
		s.awaitReady(name, 1)
		load.sees(50)
		load.unharmed("the restart of " + name)
	}
}

// forgetfulQueue has the queue lose orders that no worker has seen.
func (s *shop) forgetfulQueue() (orders []string) {
	s.t.Helper()
	s.signal(s.worker+"-0.worker", unix.SIGSTOP)
	b := &buyer{shop: s}
	for range 5 {
		if !b.order() {
			s.t.Fatal(b.failed)
		}
	}
	s.kill(s.queue + "-0.redis")
	s.awaitReady(s.queue+"-0", 1)
	s.signal(s.worker+"-0.worker", unix.SIGCONT)
	s.awaitReady(s.web+"-0", 0)
	return b.orders
}

// allDone waits until each order is done, and looks at its invoice.
func (s *shop) allDone(orders []string) {
	s.t.Helper()
	b := &buyer{shop: s, keep: true}
	defer b.leave()
	for _, id := range orders {
		testkit.Until(s.t, func() string {
			status, text, err := b.ask("GET", "/invoices/"+id, "")
			if status == http.StatusOK && strings.Contains(text, "Invoice "+id) && strings.Contains(text, "Total 5.50") {
				return ""
			}
			return fmt.Sprintf("order %s is lost: %d %s, %v", id, status, text, err)
		})
	}
	if made, _ := filepath.Glob(filepath.Join(s.dir, "data/invoices/*.txt")); len(made) < len(orders) {
		s.t.Errorf("%d invoices for %d orders", len(made), len(orders))
	}
}
