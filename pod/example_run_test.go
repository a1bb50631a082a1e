package pod_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/peapod/peapod/pod"
)

// A pod that ends by itself.
func ExampleRun() {
	p, err := pod.Load("/srv/backup/pod.yaml")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	result, err := pod.Run(ctx, p, &pod.Options{
		Env:    []string{"TARGET=/backup"},
		Output: func(l pod.Line) { fmt.Printf("%s: %s\n", l.Container, l.Text) },
	})
	if err != nil {
		log.Print(err)
		os.Exit(pod.ExitCode(err))
	}
	if ctx.Err() != nil {
		log.Fatal("the backup was stopped: it took too long") // which is no failure of a container
	}
	if result.Container != "" {
		log.Printf("%s failed", result.Container)
	}
	os.Exit(result.ExitCode)
}

// A pod that serves, beside whatever else the program does.
func ExampleStart() {
	grace := int64(5)
	p := &pod.Pod{
		APIVersion: "v1", Kind: "Pod",
		Metadata: pod.Metadata{Name: "web"},
		Spec: pod.Spec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []pod.Container{{
				Name: "httpd", Image: "/srv/images/busybox",
				Command: []string{"httpd", "-f", "-p", "80", "-h", "/www"},
				Ports:   []pod.Port{{ContainerPort: 80, HostPort: 8080, HostIP: "127.0.0.1"}},
				VolumeMounts: []pod.VolumeMount{
					{Name: "www", MountPath: "/www", ReadOnly: true},
				},
			}},
			Volumes: []pod.Volume{{Name: "www", HostPath: &pod.HostPath{Path: "/srv/www"}}},
		},
	}
	p.SetDefaults()
	s, err := pod.Start(context.Background(), p, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", s.Addrs())
	time.Sleep(time.Minute)
	s.Stop(p.GracePeriod())
	fmt.Println(s.Wait().ExitCode)
}

// Pods of other processes.
func ExampleStore() {
	var store pod.Store
	pods, err := store.List()
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range pods {
		fmt.Println(r.Pod.Metadata.Name, r.Status.Phase, len(r.Status.ContainerStatuses))
	}
	err = store.Stop(context.Background(), "web", 10*time.Second)
	if errors.Is(err, pod.ErrNotExist) {
		fmt.Println("it is gone already")
	}
}

func ExampleCheckName() {
	fmt.Println(pod.CheckName("web-1"))
	fmt.Println(pod.CheckName("../web"))
	// Output:
	// <nil>
	// "../web" is not a DNS label: use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends
}

// An error is about a file, a line and a field; what the containers' commands
// lack has the exit status that a shell gives.
func ExampleExitCode() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(dir+"/image/bin", 0o755); err != nil {
		log.Fatal(err)
	}
	p, err := pod.Parse(dir+"/pod.yaml", []byte(`
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: web, image: ./image, command: [httpd]}
`))
	if err != nil {
		log.Fatal(err)
	}
	_, err = p.Resolve()
	var e *pod.Error
	fmt.Println(errors.As(err, &e), pod.ExitCode(err))
	// Output: true 127
}
