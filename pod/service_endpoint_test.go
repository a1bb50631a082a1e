package pod

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// running is a pod with a label, a port named http and one container.
func running(name string, change func(*Record)) *Record {
	r := &Record{Pod: &Pod{Metadata: Metadata{Name: name, Labels: map[string]string{"app": "web"}}}}
	r.Pod.Spec.Containers = []Container{{Name: "c", Ports: []Port{{Name: "http", ContainerPort: 8080, Protocol: "TCP"}}}}
	r.Status = PodStatus{Phase: PodRunning, ContainerStatuses: []ContainerStatus{{Name: "c", Ready: true}}}
	r.Pod.SetDefaults()
	if change != nil {
		change(r)
	}
	r.Status.setConditions()
	return r
}

func describe(list []ServiceEndpoint) string {
	var lines []string
	for _, e := range list {
		line := fmt.Sprintf("%s %s", e.Name, e.State)
		if e.Receives {
			line += " +"
		}
		for _, p := range e.Ports {
			line += fmt.Sprintf(" %s=%d/%s", p.Name, p.Port, p.Protocol)
		}
		if e.Reason != "" {
			line += ": " + e.Reason
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestServiceLeadsTo(t *testing.T) {
	now := time.Now()
	pods := []*Record{
		running("z", nil),
		running("unready", func(r *Record) {
			r.Status.ContainerStatuses[0].Ready, r.Status.ContainerStatuses[0].unready = false, "readiness probe: status 503"
		}),
		running("ending", func(r *Record) { r.Status.DeletionTimestamp = &now }),
		running("ended", func(r *Record) { r.Status.Phase = PodSucceeded }),
		running("beginning", func(r *Record) { r.Pod.Spec.Containers = nil }),
		running("other", func(r *Record) { r.Pod.Metadata.Labels["app"] = "db" }),
		running("portless", func(r *Record) { r.Pod.Spec.Containers[0].Ports = nil }),
		running("new", func(r *Record) { r.Status = PodStatus{Phase: PodPending} }),
	}
	pods[len(pods)-1].Status.Conditions = nil
	const selector = `"selector": {"app": "web"}, `
	service := func(spec, more string) *ServiceRecord {
		m := parseServices(t, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {`+spec+`}}`+"\n"+more)
		return &ServiceRecord{Service: m.Services[0], Endpoints: endpointsOf(m.Services[0], m.Endpoints)}
	}
	for _, test := range []struct{ name, spec, endpoints, want string }{
		{"pods", selector + `"ports": [{"port": 80, "targetPort": "http"}]`, "", `ending ending =8080/TCP
new not ready =8080/TCP: it is being started
portless ready: it has no TCP port named http
unready not ready =8080/TCP: c: readiness probe: status 503
z ready + =8080/TCP`},
		{"all of them", selector + `"publishNotReadyAddresses": true, "ports": [{"port": 80, "targetPort": "http"}]`, "", `ending ending =8080/TCP
new not ready + =8080/TCP: it is being started
portless ready: it has no TCP port named http
unready not ready + =8080/TCP: c: readiness probe: status 503
z ready + =8080/TCP`},
		{"headless", `"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 80}]`, "", "other ready + =80/TCP"},
		{"headless without ports", `"clusterIP": "None", "selector": {"app": "db"}`, "", "other ready +"},
		{"another name", `"type": "ExternalName", "externalName": "example.com"`, "", ""},
		{"by hand", `"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]`,
			`{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "web"}, "subsets": [
{"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.0"}], "ports": [{"name": "a", "port": 8080}, {"name": "b", "port": 8081}]},
{"addresses": [{"ip": "192.0.2.2"}], "ports": [{"name": "b", "port": 9}]}]}`,
			`192.0.2.0 not ready a=8080/TCP b=8081/TCP: it is one of notReadyAddresses
192.0.2.1 ready + a=8080/TCP b=8081/TCP
192.0.2.2 ready + b=9/TCP`},
	} {

		if got := describe(service(test.spec, test.endpoints).Leads(pods)); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestServiceListeners(t *testing.T) {
	for spec, want := range map[string]string{
		`"clusterIP": "127.96.1.1", "ports": [{"port": 80}]`: "127.96.1.1:80 80/TCP spec.clusterIP",
		`"clusterIP": "127.96.1.1", "type": "LoadBalancer", "externalIPs": ["192.0.2.1"], "ports": [{"name": "a", "port": 80, "nodePort": 30001}, {"name": "b", "port": 53, "protocol": "UDP"}]`: `127.96.1.1:80 80/TCP spec.clusterIP
127.96.1.1:53 53/UDP spec.clusterIP
[::]:30001 80/TCP spec.ports[0].nodePort
192.0.2.1:80 80/TCP spec.externalIPs
[::]:80 80/TCP spec.type
[::]:8080 80/TCP metadata.annotations["peapod.dev/host-port"]
192.0.2.1:53 53/UDP spec.externalIPs
[::]:53 53/UDP spec.type`,
		`"clusterIP": "None", "ports": [{"port": 80}]`:          "",
		`"type": "ExternalName", "externalName": "example.com"`: "",
	} {
		annotations := ""
		if strings.Contains(want, "host-port") {
			annotations = `, "annotations": {"peapod.dev/host-port": "a=8080"}`
		}
		m := parseServices(t, `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"`+annotations+`}, "spec": {`+spec+`}}`)
		var lines []string
		for _, l := range (&ServiceRecord{Service: m.Services[0]}).Listeners() {
			lines = append(lines, fmt.Sprintf("%s %d/%s %s", l.Address, l.Port, l.Protocol, l.Field))
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", spec, got, want)
		}
	}
}
