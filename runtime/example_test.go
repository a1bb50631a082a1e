package runtime_test

import (
	"context"
	"fmt"
	"log"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/peapod/peapod/runtime"
)

// A bundle made by `runc spec` beside an unpacked image is run to its end.
func Example() {
	ctx := context.Background()
	spec, err := runtime.LoadSpec("/srv/bundles/web")
	if err != nil {
		log.Fatal(err)
	}
	r := &runtime.Runtime{}
	c, err := r.Run(ctx, "web", &runtime.CreateOptions{
		Bundle: "/srv/bundles/web", Spec: spec, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Delete(ctx, true)
	status, err := c.Wait(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ended with", status.ExitCode())
}

// Plan needs no privilege and makes nothing.
func ExampleRuntime_Plan() {
	p, err := (&runtime.Runtime{}).Plan("box", &runtime.CreateOptions{Bundle: "/bundle", Spec: &specs.Spec{
		Root:     &specs.Root{Path: "rootfs"},
		Process:  &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"},
		Hostname: "box",
		Linux:    &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: "mount"}, {Type: "uts"}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Steps() > 20)
	// Output: true
}

// A further process in a container of another program.
func ExampleContainer_Exec() {
	ctx := context.Background()
	c, err := (&runtime.Runtime{}).Load("web")
	if err != nil {
		log.Fatal(err)
	}
	p, err := c.Exec(ctx, &runtime.ExecOptions{
		Process: &specs.Process{Args: []string{"ps"}, Cwd: "/", Env: []string{"PATH=/bin"}},
		Stdout:  os.Stdout,
	})
	if err != nil {
		log.Fatal(err)
	}
	status, err := p.Wait(ctx)
	fmt.Println(status, err)
}
