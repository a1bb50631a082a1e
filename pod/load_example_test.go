package pod_test

import (
	"fmt"

	"github.com/peapod/peapod/pod"
)

func ExampleParse() {
	p, err := pod.Parse("hello.json", []byte(`{
  "apiVersion": "v1",
  "kind": "Pod",
  "metadata": {"name": "hello"},
  "spec": {
    "containers": [{
      "name": "web",
      "image": "builtin:demo",
      "args": ["web", "--listen", ":8080"],
      "ports": [{"containerPort": 8080, "hostPort": 80}],
      "resources": {"limits": {"memory": "64Mi"}}
    }]
  }
}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	web := p.Spec.Containers[0]
	fmt.Println(p.Metadata.Name, web.Name, web.Resources.Limits.Memory.Value())
	fmt.Println(p.Errorf("spec.containers[0].ports[0].hostPort", "port %d is taken", 80))

	_, err = pod.Parse("typo.yaml", []byte(`
apiVersion: v1
kind: Pod
metadata: {name: hello}
spec:
  containers:
  - name: web
    image: ./web
    comand: [web]
    resources: {limits: {memory: 12Q}}
`))
	fmt.Println(err)
	// Output:
	// hello web 67108864
	// hello.json:10:53: spec.containers[0].ports[0].hostPort: port 80 is taken
	// typo.yaml:9:5: spec.containers[0].comand: unknown field; did you mean command?
	// typo.yaml:10:34: spec.containers[0].resources.limits.memory: "12Q": unknown suffix "Q"; use one of Ki Mi Gi Ti Pi Ei k M G T P E, or m for thousandths
}
