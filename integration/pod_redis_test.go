package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// examples/redis: a real server and a client on a Debian image, which share
// localhost and get env and args.
func TestRedis(t *testing.T) {
	example, err := filepath.Abs("../examples/redis")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(example, "debian/usr/bin/redis-server")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("the image of examples/redis is not there: make examples/redis/debian makes it, and .ci/run does")
	}
	name := newName(t)
	peapod(t, "pod", "run", "-d", "--name", name, "--env", "NAME=the test", filepath.Join(example, "redis.json")).ok()
	testkit.Eventually(t, "the client has its answer", func() bool {
		return strings.Contains(peapod(t, "pod", "logs", name).ok(), "greeting is hello from the test")
	})
	for command, want := range map[string]string{
		"redis-cli get greeting":             "hello from the test",
		"redis-cli -h 127.0.0.1 incrby n 41": "41",
		"redis-cli config get maxmemory":     "16777216",
		"hostname":                           name,
	} {
		args := append([]string{"pod", "exec", "-c", "client", name, "--"}, strings.Fields(command)...)
		if got := peapod(t, args...).ok(); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if got := peapod(t, "pod", "exec", "-c", "redis", name, "--", "id", "-u").ok(); got != "65534" {
		t.Errorf("the server is user %s", got)
	}
	peapod(t, "pod", "stop", name).ok()
	var status struct {
		Status struct {
			ContainerStatuses []struct {
				Name  string
				State struct{ Terminated *struct{ ExitCode int } }
			}
		}
	}
	text := peapod(t, "pod", "inspect", name).ok()
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	peapod(t, "pod", "rm", name).ok()
	nothingOf(t, name)
}
