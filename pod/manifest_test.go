package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadManifest(t *testing.T) {
	m, err := LoadManifest("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Pods) != 1 || len(m.Deployments) != 1 || len(m.Services) != 3 || len(m.Endpoints) != 1 {
		t.Fatalf("%+v", m)
	}
	if w := m.Warnings(); len(w) > 0 {
		t.Errorf("warnings %v", w)
	}
	var names []string
	web := m.Services[0]
	for _, p := range m.AllPods() {
		names = append(names, p.Metadata.Name)
		if web.Selects(p) != (p.Metadata.Name != "cache") || m.Services[1].Selects(p) {
			t.Errorf("the services select wrongly among %s", p.Metadata.Name)
		}
		if err := p.Validate(); err != nil || p.Dir != "testdata" {
			t.Errorf("%s in %q: %v", p.Metadata.Name, p.Dir, err)
		}
	}
	if want := []string{"cache", "web-0", "web-1", "web-2"}; !slices.Equal(names, want) {
		t.Errorf("pods %q, want %q", names, want)
	}
	pod := m.AllPods()[3]
	if pod.Spec.RestartPolicy != RestartAlways || pod.GracePeriod() != 30*time.Second || pod.Spec.Containers[0].ReadinessProbe.FailureThreshold != 3 {
		t.Errorf("defaults of a deployment's pod: %+v", pod.Spec)
	}
	for _, tt := range []struct {
		ref      PortRef
		protocol string
		want     int
	}{{PortRef{Name: "http"}, "TCP", 8080}, {PortRef{Name: "dns"}, "UDP", 53}, {PortRef{Name: "dns"}, "TCP", 0}, {PortRef{Number: 9}, "", 9}, {PortRef{}, "", 0}} {
		if n, ok := pod.Port(tt.ref, tt.protocol); n != tt.want || ok != (n != 0) {
			t.Errorf("port %+v is %d", tt.ref, n)
		}
	}
	o, err := web.Options()
	want := ServiceOptions{
		HostPorts: []HostPort{{"http", netip.MustParseAddr("127.0.0.1"), 8080}, {"dns", netip.Addr{}, 5353}},
		Balance:   BalanceRoundRobin, MaxConnections: 100, Queue: 20, KeepAlive: -1,
	}
	if err != nil || !reflect.DeepEqual(o, want) {
		t.Errorf("%+v %v", o, err)
	}
	if web.Affinity() != time.Minute || m.Services[1].Affinity() != 0 {
		t.Errorf("affinity %v, %v", web.Affinity(), m.Services[1].Affinity())
	}
	db := m.Services[1]
	if db.Spec.Ports[0].TargetPort.Number != 5432 || db.Spec.ClusterIPs[0] != "127.96.0.7" || db.Metadata.Namespace != "default" {
		t.Errorf("%+v", db)
	}
}

// The errors of a deployment's pods, also those that come later, point to the
// template, those of a List's items to the item.
func TestManifestPositions(t *testing.T) {
	m, err := LoadManifest("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o           object
		field, want string
	}{
		{m.AllPods()[2], "spec.containers[0].image", "19:16: spec.template.spec.containers[0].image"},
		{m.Deployments[0], "spec.replicas", "8:13: spec.replicas"},
		{m.Services[1], "spec.ports[0].nodePort", "66:36: spec.ports[0].nodePort"},
		{m.Endpoints[0], "subsets[0].addresses[1].ip", "71:38: subsets[0].addresses[1].ip"},
		{m.Services[2], "spec.externalName", "74:120: spec.externalName"},
	} {
		checkError(t, tt.field, tt.o.Errorf(tt.field, "bad"), "testdata/shop.yaml:"+tt.want+": bad")
	}
}

// manifest wraps documents, each on a line of its own.
func manifest(documents ...string) []byte { return []byte(strings.Join(documents, "\n")) }

const (
	aPod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x", "ports": [{"name": "http", "containerPort": 80}]}]}}`
	bPod = `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}, "spec": {"containers": [{"name": "c", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}]}]}}`
)

func service(name, spec string) string {
	return `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "` + name + `"}, "spec": {` + spec + `}}`
}

func deployment(name, spec string) string {
	return `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "` + name + `"}, "spec": {` + spec + `}}`
}

func endpoints(name, subsets string) string {
	return `{"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "` + name + `"}, "subsets": [` + subsets + `]}`
}

const template = `"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}`

// wrong compares errors without the name of the file and without columns, those
// of one line after the other.
func wrong(err error) string {
	if err == nil {
		return ""
	}
	var errs *Errors
	if !errors.As(err, &errs) {
		return err.Error()
	}
	var list []string
	for _, e := range errs.List {
		list = append(list, fmt.Sprintf("%d %s: %v", e.Line, e.Field, e.Err))
	}
	if errs.More {
		list = append(list, "more")
	}
	return strings.Join(list, "\n")
}

func TestManifestErrors(t *testing.T) {
	for _, tt := range []struct {
		data []byte
		want string
	}{
		{manifest(aPod, bPod), ``},
		{manifest(`{"apiVersion": "v1", "kind": "List", "items": []}`), `1 items: empty: the file describes nothing`},
		{manifest(aPod, aPod), `2 metadata.name: duplicate "a": the file has another pod of this name already`},
		{manifest(aPod, `[]`), `2 : found '[' after the end of an object; another one may follow, with nothing or a line --- between them`},
		{manifest(aPod, `---`, `- a`), `3 : found a list, expected an object with apiVersion and kind`},
		{manifest(`{"apiVersion": "v1"}`, `{"kind": 5}`), "1 kind: missing; write Pod, Deployment, Service, Endpoints, EndpointSlice or List\n" +
			"2 apiVersion: missing; write \"v1\", or \"apps/v1\" for a Deployment\n2 kind: found a number, expected a string; write Pod, Deployment, Service, Endpoints, EndpointSlice or List"},
		{manifest(`{"apiVersion": "v1", "kind": "Deployment"}`), `1 apiVersion: found "v1", expected "apps/v1" for the kind Deployment`},
		{manifest(`{"apiVersion": "v1", "kind": "Servce"}`), `1 kind: found "Servce"; did you mean Service?`},
		{manifest(`{"apiVersion": "v1", "kind": "Secret"}`), `1 kind: found "Secret", which peapod does not run: put files into a directory and use a hostPath volume, and variables into env (or peapod pod run --env) (what it runs: Pod, Deployment, Service, Endpoints, EndpointSlice and List)`},
		{manifest(`{"apiVersion": "v1", "kind": "Node"}`), `1 kind: found "Node", which peapod does not know: it runs Pod, Deployment, Service, Endpoints, EndpointSlice and List`},
		{manifest(`{"apiVersion": "v1", "kind": "List", "itms": [], "items": {}}`), "1 itms: unknown field; did you mean items?\n1 items: found an object, expected a list of objects"},
		{manifest(`{"apiVersion": "v1", "kind": "List", "metadata": {"selfLink": "x"}, "items": [` + aPod + `]}`), `1 metadata.selfLink: not supported: Kubernetes' API server sets it; leave it out`},

		// Errors of all objects are told at once.
		{manifest(
			`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A"}, "spec": {"containers": [{"name": "c", "imge": "x"}]}}`,
			service("s", `"port": []`),
			service("s", `"ports": [{"port": 80}]`),
		), "1 metadata.name: \"A\" is not a DNS label: " + labelRule + "\n1 spec.containers[0].imge: unknown field; did you mean image?\n2 spec.port: unknown field; did you mean ports?\n3 metadata.name: duplicate \"s\": the file has another Service of this name already"},

		{manifest(deployment("web", template)), ``},
		{manifest(deployment("web", template), deployment("web", template)), `2 metadata.name: duplicate "web": the file has another Deployment of this name already` + "\n" +
			`2 metadata.name: one of its pods is called web-0, as a pod of Deployment web is; choose another name`},
		{manifest(strings.Replace(aPod, `"a"`, `"web-1"`, 1), deployment("web", `"replicas": 2, `+template)), `2 metadata.name: one of its pods is called web-1, as another pod is; choose another name`},
		{manifest(deployment("web", `"replicas": -1, `+template)), `1 spec.replicas: -1 is out of range; use 0 to 1000`},
		{manifest(deployment("web", `"replicas": 0, `+template)), ``},
		{manifest(deployment(strings.Repeat("w", 62), `"replicas": 1, `+template)), `1 metadata.name: the last pod would be called ` + strings.Repeat("w", 62) + `-0, which is no DNS label: ` + labelRule},
		{manifest(deployment("web", strings.Replace(template, `"a"`, `"b"`, 1))), `1 spec.selector.matchLabels["app"]: found "b", where spec.template.metadata.labels has "a"; they must be equal`},
		{manifest(deployment("web", strings.Replace(template, `"app"`, `"ap"`, 1))), `1 spec.selector.matchLabels["ap"]: the template's pods have no such label: it is missing in spec.template.metadata.labels`},
		{manifest(deployment("web", strings.Replace(template, `{"matchLabels": {"app": "a"}}`, `{}`, 1))), `1 spec.selector.matchLabels: missing; write labels that spec.template.metadata.labels has`},
		{manifest(deployment("web", strings.Replace(template, `"matchLabels": {`, `"matchExpressions": [{}], "matchLabels": {`, 1))), `1 spec.selector.matchExpressions: not supported yet: selectors other than by equal labels; write matchLabels, or leave the field out`},
		{manifest(deployment("web", strings.Replace(template, `{"labels"`, `{"name": "x", "labels"`, 1))), `1 spec.template.metadata.name: not supported: the pods are named after the Deployment; leave the field out`},
		{manifest(deployment("web", strings.Replace(template, `"image": "x"`, `"imge": "x"`, 1))), `1 spec.template.spec.containers[0].imge: unknown field; did you mean image?`},
		{manifest(deployment("web", strings.Replace(template, `"image": "x"`, `"image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}], "volums": [{"name": "v"`, 1))), `1 spec.template.spec.volums: unknown field; did you mean volumes?`},
		{manifest(deployment("web", strings.Replace(template, `"image": "x"`, `"image": "x", "workingDir": "x"`, 1))), `1 spec.template.spec.containers[0].workingDir: "x" is not absolute`},
		{manifest(deployment("web", `"replicas": 2, `+strings.Replace(template, `"image": "x"`, `"image": "x", "ports": [{"containerPort": 80, "hostPort": 80}]`, 1))), `1 spec.template.spec.containers[0].ports[0].hostPort: only one of the 2 replicas can have host port 80; use a Service`},
		{manifest(deployment("web", strings.Replace(template, `"spec": {`, `"spec": {"restartPolicy": "Never", `, 1))), `1 spec.template.spec.restartPolicy: Never is not for the pods of a Deployment, which Kubernetes keeps running; use Always, or a Pod`},
		{manifest(deployment("web", `"strategy": {"type": "Recreate"}, "minReadySeconds": 0, `+template)), ``},
		{manifest(deployment("web", `"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "50%"}}, "minReadySeconds": 5, `+template)), ``},
		{manifest(deployment("web", `"strategy": {"type": "Recreate", "rollingUpdate": {}}, `+template)), `1 spec.strategy.rollingUpdate: it is for the type RollingUpdate, and spec.strategy.type is Recreate; leave one of them out`},
		{manifest(deployment("web", `"strategy": {"type": "Rolling"}, `+template)), `1 spec.strategy.type: unknown value "Rolling"; use RollingUpdate, Recreate`},
		{manifest(deployment("web", `"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}, `+template)), `1 spec.strategy.rollingUpdate.maxUnavailable: 0, as maxSurge is: nothing could ever be replaced; make one of them 1 or more`},
		{manifest(deployment("web", `"strategy": {"rollingUpdate": {"maxSurge": "a lot", "maxUnavailable": "101%"}}, `+template)), `1 spec.strategy.rollingUpdate.maxSurge: found a lot, expected a number, 0 or more, or a percentage such as "25%"` + "\n" +
			`1 spec.strategy.rollingUpdate.maxUnavailable: found 101%; use 100% at most`},
		{manifest(deployment("web", `"minReadySeconds": 700, `+template)), `1 spec.progressDeadlineSeconds: 600 is out of range; use more than minReadySeconds (700), up to 31536000`},
		{manifest(deployment("web", `"paused": true, "revisionHistoryLimit": 10, `+template)), `1 spec.paused: found true: not supported yet: a Deployment changes when a changed file is applied; leave the field out` + "\n" +
			`1 spec.revisionHistoryLimit: found 10: not supported yet: no earlier revisions are kept; leave the field out`},
		{manifest(strings.Replace(deployment("web", template), `"name": "web"`, `"name": "web", "annotations": {"peapod.dev/balance": "random"}`, 1)), `1 metadata.annotations["peapod.dev/balance"]: it has no effect here: annotations with peapod.dev/ are for Services`},

		{manifest(aPod, service("s", `"selector": {"app": "a"}, "ports": [{"port": 1, "targetPort": "http"}]`)), ``},
		{manifest(aPod, service("s", `"selector": {"app": "a"}, "ports": [{"port": 1, "targetPort": "htp"}]`)), `2 spec.ports[0].targetPort: no pod that the service selects has a TCP port "htp"; did you mean http?`},
		{manifest(aPod, service("s", `"selector": {"app": "a"}, "ports": [{"port": 1, "targetPort": "http", "protocol": "UDP"}]`)), `2 spec.ports[0].targetPort: no pod that the service selects has a UDP port "http"; give one this name, or use a number`},
		{manifest(aPod, service("s", `"selector": {"app": "b"}, "ports": [{"port": 1, "targetPort": "htp"}]`)), ``},
		{manifest(service("s", `"clusterIP": "127.96.0.1", "ports": [{"port": 1}]`), service("t", `"clusterIPs": ["127.96.0.1"], "ports": [{"port": 1}]`)), `2 spec.clusterIP: duplicate 127.96.0.1: service s has it already`},
		{manifest(service("s", `"type": "NodePort", "ports": [{"port": 1, "nodePort": 30000}]`), service("t", `"type": "NodePort", "ports": [{"port": 1, "nodePort": 30000, "name": "a"}, {"port": 1, "nodePort": 30000, "name": "b", "protocol": "UDP"}]`)),
			`2 spec.ports[0].nodePort: duplicate host port 30000: service s has it already`},
		{manifest(bPod, service("s", `"type": "LoadBalancer", "ports": [{"port": 8080}]`)), `2 spec.ports[0].port: duplicate host port 8080: pod b has it already`},
		{manifest(bPod, service("s", `"externalIPs": ["10.0.0.1"], "ports": [{"port": 8080}]`)), ``},
		{manifest(bPod, strings.Replace(bPod, `"b"`, `"c"`, 1)), `2 spec.containers[0].ports[0].hostPort: duplicate host port 8080: pod b has it already`},
		{manifest(bPod, strings.Replace(service("s", `"ports": [{"port": 80}]`), `"s"`, `"s", "annotations": {"peapod.dev/host-port": "8080"}`, 1)), `2 metadata.annotations["peapod.dev/host-port"]: duplicate host port 8080: pod b has it already`},

		{manifest(service("s", `"ports": [{"port": 1}]`), endpoints("s", `{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}`)), ``},
		{manifest(service("s", `"ports": [{"port": 1, "name": "a"}]`), endpoints("s", `{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}`)), `2 subsets[0].ports[0].name: service s has no TCP port ""; it has "a"`},
		{manifest(service("s", `"selector": {"app": "a"}, "ports": [{"port": 1}]`), endpoints("s", `{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}`)), `2 metadata.name: service s has a selector: its endpoints are its pods; leave the selector or these Endpoints out`},
		{manifest(endpoints("s", ``), endpoints("s", ``)), `2 metadata.name: duplicate "s": the file has another Endpoints of this name already`},
		{manifest(endpoints("s", `{}, {"addresses": [{"ip": "db"}, {"ip": "0.0.0.0"}, {}, {"ip": "1.2.3.4"}, {"ip": "::ffff:1.2.3.4"}], "notReadyAddresses": [{"ip": "1.2.3.4", "nodeName": "n"}], "ports": [{"port": 0}, {"port": 70000, "name": "A", "protocol": "HTTP"}]}`)),
			"1 subsets[0].addresses: missing; write at least one {ip: ADDRESS}\n1 subsets[0].ports: missing; write at least one {port: NUMBER}\n" +
				"1 subsets[1].addresses[0].ip: \"db\" is not an IP address: names are not looked up here; a Service of the type ExternalName stands for a name\n" +
				"1 subsets[1].addresses[1].ip: 0.0.0.0 cannot be connected to as an endpoint; use the address of one machine\n" +
				"1 subsets[1].addresses[2].ip: missing; use an IP address\n" +
				"1 subsets[1].addresses[4].ip: duplicate \"::ffff:1.2.3.4\": subsets[1].addresses[3] has it already\n" +
				"1 subsets[1].notReadyAddresses[0].ip: duplicate \"1.2.3.4\": subsets[1].addresses[3] has it already\n" +
				"1 subsets[1].notReadyAddresses[0].nodeName: not supported: there is no cluster that it could refer to; leave the field out\n" +
				"1 subsets[1].ports[0].name: missing; where there are several ports each has a name\n" +
				"1 subsets[1].ports[0].port: missing; use 1 to 65535\nmore"},
	} {
		_, err := ParseManifest("m.json", tt.data)
		if got := wrong(err); got != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", tt.data, strings.ReplaceAll(got, "\n", "\n      "), strings.ReplaceAll(tt.want, "\n", "\n      "))
		}
	}
}

func TestServiceErrors(t *testing.T) {
	for _, tt := range []struct{ spec, annotations, want string }{
		{`"ports": [{"port": 80}]`, ``, ``},
		{``, ``, `spec.ports: missing; write at least one {port: NUMBER}`},
		{`"clusterIP": "None"`, ``, ``},
		{`"clusterIP": "None", "ports": [{"port": 80, "targetPort": 8080}]`, ``, `spec.ports[0].targetPort: found 8080, where port is 80: a headless service forwards nothing; leave it out`},
		{`"clusterIP": "None", "type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}]`, ``, `spec.clusterIP: None is for the type ClusterIP; leave it out in a service of the type NodePort`},
		{`"clusterIP": "None", "sessionAffinity": "ClientIP"`, ``, `spec.sessionAffinity: it has no effect in a headless service, which forwards nothing; leave it out`},
		{`"clusterIP": "x", "ports": [{"port": 80}]`, ``, `spec.clusterIP: "x" is not an IP address; use one, None, or leave it out for one that is free`},
		{`"clusterIP": "fd00::1", "ports": [{"port": 80}]`, ``, ``},
		{`"clusterIP": "127.0.0.1", "ports": [{"port": 80}]`, ``, `spec.clusterIP: 127.0.0.1 is not one of 127.96.0.0/16: programs use the other loopback addresses themselves; leave it out for one that is free`},
		{`"clusterIP": "224.0.0.1", "ports": [{"port": 80}]`, ``, `spec.clusterIP: 224.0.0.1 cannot be a service's; leave it out for one that is free`},
		{`"clusterIP": "10.96.0.1", "ports": [{"port": 80}]`, ``, ``},
		{`"clusterIP": "127.96.0.1", "clusterIPs": ["127.96.0.2"], "ports": [{"port": 80}]`, ``, `spec.clusterIPs[0]: found "127.96.0.2", where spec.clusterIP is "127.96.0.1"; leave one of them out`},
		{`"clusterIPs": ["127.96.0.1", "fd00::1"], "ports": [{"port": 80}]`, ``, ``},
		{`"clusterIPs": ["127.96.0.1", "10.96.0.1"], "ports": [{"port": 80}]`, ``, `spec.clusterIPs[1]: 10.96.0.1 is of the same family as 127.96.0.1: a service has one address of each; leave one of them out`},
		{`"clusterIPs": ["127.96.0.1", "fd00::1", "fd00::2"], "ports": [{"port": 80}]`, ``, `spec.clusterIPs: found 3 addresses: a service has one of each family; leave the others out`},
		{`"clusterIPs": ["127.96.0.1", "fd00::1"], "ipFamilies": ["IPv6", "IPv6"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80}]`, ``, "spec.ipFamilies[0]: found IPv6, where spec.clusterIPs[0] is 127.96.0.1; leave one of them out\n" +
			`spec.ipFamilies[1]: duplicate "IPv6": spec.ipFamilies[0] has it already` + "\nspec.ipFamilyPolicy: SingleStack is for one family, and there are two; use RequireDualStack"},
		{`"clusterIP": "None", "selector": {"a": "b"}, "ipFamilies": ["IPv6"]`, ``, `spec.ipFamilies[0]: IPv6 is not supported in a headless service: its name stands for the one address that each pod has; leave it out`},
		{`"clusterIP": "None", "selector": {"a": "b"}, "ipFamilyPolicy": "RequireDualStack"`, ``, `spec.ipFamilyPolicy: RequireDualStack is not supported in a headless service: its name stands for the one address that each pod has; use PreferDualStack`},
		{`"ports": [{"port": 80}, {"port": 80, "name": "a"}]`, ``, "spec.ports[0].name: missing; where there are several ports each has a name\n" + `spec.ports[1].port: duplicate "80/TCP": spec.ports[0] has it already`},
		{`"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "a", "protocol": "UDP"}]`, ``, `spec.ports[1].name: duplicate "a": spec.ports[0] has it already`},
		{`"ports": [{"port": 0, "targetPort": "x_y", "protocol": "TPC", "nodePort": 30000}]`, ``, "spec.ports[0].port: missing; use 1 to 65535\n" +
			`spec.ports[0].targetPort: "x_y" cannot name a port: ` + portNameRule + "\n" + `spec.ports[0].protocol: unknown value "TPC"; use TCP, UDP; did you mean TCP?` + "\n" +
			`spec.ports[0].nodePort: it has no effect in a service of the type ClusterIP; use type: NodePort`},
		{`"type": "NodePort", "ports": [{"port": 80, "nodePort": 8080}]`, ``, `spec.ports[0].nodePort: port 8080 is out of range; use 30000 to 32767, or the annotation peapod.dev/host-port for any port`},
		{`"type": "NodePort", "ports": [{"port": 80, "name": "a", "nodePort": 30000}, {"port": 81, "name": "b", "nodePort": 30000}]`, ``, `spec.ports[1].nodePort: duplicate "30000/TCP": spec.ports[0] has it already`},
		{`"type": "NodePort", "ports": [{"port": 80, "appProtocol": "http"}]`, ``, ``},
		{`"type": "Nodeport", "ports": [{"port": 80}]`, ``, `spec.type: unknown value "Nodeport"; use ClusterIP, NodePort, LoadBalancer, ExternalName; did you mean NodePort?`},
		{`"type": "LoadBalancer", "loadBalancerIP": "10.0.0.1", "allocateLoadBalancerNodePorts": false, "externalTrafficPolicy": "Cluster", "ports": [{"port": 80}]`, ``, ``},
		{`"loadBalancerIP": "10.0.0.1", "externalIPs": ["127.0.0.1"], "ports": [{"port": 80}]`, ``, `spec.loadBalancerIP: it has no effect in a service of the type ClusterIP; use type: LoadBalancer` + "\n" +
			`spec.externalIPs[0]: Kubernetes refuses 127.0.0.1 here; the annotation peapod.dev/host-port listens on any address of the host`},
		{`"externalTrafficPolicy": "Local", "ports": [{"port": 80}]`, ``, `spec.externalTrafficPolicy: found the string "Local": not supported yet: pods see the client's address by an annotation only; write peapod.dev/transparent or peapod.dev/send-proxy-protocol, or leave the field out`},
		{`"internalTrafficPolicy": "Local", "selector": {"a": "b"}, "ports": [{"port": 80}]`, ``, ``},
		{`"internalTrafficPolicy": "Local", "ports": [{"port": 80}]`, ``, `spec.internalTrafficPolicy: Local is not supported for a service without a selector: its endpoints may be elsewhere; use Cluster`},
		{`"ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 80}]`, ``, ``},
		{`"ipFamilies": ["IPv6", "IPv5"], "ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]`, ``, `spec.ipFamilies[1]: unknown value "IPv5"; use IPv4, IPv6; did you mean IPv4?`},
		{`"type": "ExternalName", "externalName": "db.example.com."`, ``, ``},
		{`"type": "ExternalName"`, ``, `spec.externalName: missing; use the DNS name that the service stands for`},
		{`"type": "ExternalName", "externalName": "10.0.0.1", "selector": {"a": "b"}, "clusterIP": "None"`, ``, `spec.externalName: "10.0.0.1" is an IP address; use a Service without a selector, and Endpoints with the address` + "\n" +
			"spec.selector: it has no effect in a service of the type ExternalName; leave it out\nspec.clusterIP: a service of the type ExternalName has none; leave it out"},
		{`"externalName": "a.b", "ports": [{"port": 80}]`, ``, `spec.externalName: it has no effect in a service of the type ClusterIP; use type: ExternalName`},
		{`"sessionAffinity": "clientIP", "ports": [{"port": 80}]`, ``, `spec.sessionAffinity: unknown value "clientIP"; use None, ClientIP; did you mean ClientIP?`},
		{`"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}, "ports": [{"port": 80}]`, ``, "spec.sessionAffinityConfig: it has no effect without sessionAffinity: ClientIP; write that too, or leave it out\n" +
			"spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is out of range; use 1 to 86400"},
		{`"selector": {"a b": "c"}, "ports": [{"port": 80}]`, ``, `spec.selector["a b"]: "a b" cannot be a key: ` + wordRule + `, if need be after a DNS name and '/'`},

		{`"ports": [{"port": 80}]`, `"peapod.dev/host-port": "[::1]:80", "peapod.dev/slow-start": "30s", "peapod.dev/idle-timeout": "5m", "peapod.dev/keep-alive": "15s", "peapod.dev/accept-proxy-protocol": "true", "peapod.dev/send-proxy-protocol": "v2", "peapod.dev/transparent": "true", "peapod.dev/balance": "source-hash"`, ``},
		{`"ports": [{"port": 80}]`, `"peapod.dev/hostport": "80"`, `metadata.annotations["peapod.dev/hostport"]: unknown annotation; did you mean peapod.dev/host-port?`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/zzz": "80"`, `metadata.annotations["peapod.dev/zzz"]: unknown annotation; after peapod.dev/ known are host-port, balance, slow-start, max-connections, queue, idle-timeout, keep-alive, accept-proxy-protocol, send-proxy-protocol, transparent`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/host-port": "0"`, `metadata.annotations["peapod.dev/host-port"]: found "0", expected a port from 1 to 65535, ADDRESS:PORT, or NAME=PORT for each of several ports`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/host-port": "localhost:80"`, `metadata.annotations["peapod.dev/host-port"]: "localhost" is not an IP address; use a port, or ADDRESS:PORT such as 127.0.0.1:8080`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/host-port": "http=80"`, `metadata.annotations["peapod.dev/host-port"]: the service has no port "http"; it has `},
		{`"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]`, `"peapod.dev/host-port": "80"`, `metadata.annotations["peapod.dev/host-port"]: the service has several ports: write a=80`},
		{`"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]`, `"peapod.dev/host-port": "a=80,b=127.0.0.1:80"`, `metadata.annotations["peapod.dev/host-port"]: duplicate host port 80`},
		{`"clusterIP": "None"`, `"peapod.dev/host-port": "80"`, `metadata.annotations["peapod.dev/host-port"]: this service forwards nothing; leave it out`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/balance": "roundrobin"`, `metadata.annotations["peapod.dev/balance"]: unknown value "roundrobin"; use random, round-robin, source-hash; did you mean round-robin?`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/queue": "5"`, `metadata.annotations["peapod.dev/queue"]: it has no effect without peapod.dev/max-connections; write that too, or leave it out`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/max-connections": "0"`, `metadata.annotations["peapod.dev/max-connections"]: found "0", expected a number from 1 to 1048576`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/idle-timeout": "5"`, `metadata.annotations["peapod.dev/idle-timeout"]: found "5", expected a span of time such as 500ms, 30s or 5m`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/slow-start": "48h"`, `metadata.annotations["peapod.dev/slow-start"]: 48h is out of range; use 1ms to 24h`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/keep-alive": "500ms"`, `metadata.annotations["peapod.dev/keep-alive"]: the kernel counts whole seconds; use 1s or more, or off`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/keep-alive": "no"`, `metadata.annotations["peapod.dev/keep-alive"]: found "no", expected a span of time such as 500ms, 30s or 5m, or off`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/transparent": "yes"`, `metadata.annotations["peapod.dev/transparent"]: found "yes", expected true or false`},
		{`"ports": [{"port": 80}]`, `"peapod.dev/send-proxy-protocol": "2"`, `metadata.annotations["peapod.dev/send-proxy-protocol"]: unknown value "2"; use v1 or v2`},
	} {
		data := `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": {` + tt.annotations + `}}, "spec": {` + tt.spec + `}}`
		_, err := ParseManifest("m.json", []byte(data))
		if got := strings.ReplaceAll("\n"+wrong(err), "\n1 ", "\n"); strings.TrimPrefix(got, "\n") != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", data, got, tt.want)
		}
	}
	for _, tt := range []struct{ metadata, want string }{
		{`"name": "1s"`, `1 metadata.name: "1s" begins with a digit; the name of a service begins with a letter`},
		{`"name": "s", "namespace": "default"`, ``},
		{`"name": "s", "namespace": "x"`, `1 metadata.namespace: "x" is not supported: all services of this machine are in the namespace default; leave the field out`},
		{`"name": "s", "uid": "x"`, `1 metadata.uid: not supported: Kubernetes' API server sets it; leave the field out`},
	} {
		_, err := ParseManifest("m.json", []byte(`{"apiVersion": "v1", "kind": "Service", "metadata": {`+tt.metadata+`}, "spec": {"ports": [{"port": 1}]}}`))
		if got := wrong(err); got != tt.want {
			t.Errorf("%s\n got: %s\nwant: %s", tt.metadata, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	web := service("web", `"selector": {"app": "a"}, "ports": [{"port": 1, "targetPort": "http"}]`)
	for _, tt := range []struct {
		data []byte
		want string
	}{
		{manifest(aPod, web), ``},
		{manifest(web), `m.json:1:79: spec.selector: it selects no pod of this file`},
		{manifest(aPod, web, strings.NewReplacer(`"name": "a"`, `"name": "z"`, `"http"`, `"web"`).Replace(aPod)), `m.json:2:141: spec.ports[0].targetPort: pod z has no TCP port "http" and gets no connections`},
		{manifest(service("s", `"ports": [{"port": 1}]`)), `m.json:1:68: spec.selector: missing, and the file has no Endpoints s: the service leads nowhere until there are some`},
		{manifest(endpoints("s", `{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}`)), `m.json:1:64: metadata.name: the file has no Service s`},
		{manifest(service("s", `"type": "ExternalName", "externalName": "x"`)), ``},
	} {
		m, err := ParseManifest("m.json", tt.data)
		if err != nil {
			t.Fatal(err)
		}
		checkError(t, string(tt.data), errors.Join(m.Warnings()...), tt.want)
	}
}

// A manifest that a program builds is checked as one that was read.
func TestManifestValidate(t *testing.T) {
	m := &Manifest{
		Pods:     []*Pod{{Metadata: Metadata{Name: "p"}, Spec: Spec{Containers: []Container{{Name: "c"}}}}},
		Services: []*Service{{Metadata: Metadata{Name: "s"}}},
	}
	m.SetDefaults()
	checkError(t, "built", m.Validate(), "spec.containers[0].image: missing; use the path of an unpacked root or OCI bundle, or builtin:demo\nspec.ports: missing; write at least one {port: NUMBER}")
	m.Pods[0].Spec.Containers[0].Image = "x"
	m.Services[0].Spec.Ports = []ServicePort{{Port: 80}}
	m.SetDefaults()
	checkError(t, "mended", m.Validate(), "")
	m.Services = append(m.Services, m.Services[0])
	checkError(t, "twice", m.Validate(), `metadata.name: duplicate "s": the file has another Service of this name already`)
}

// Objects survive being written as JSON, as the state directory keeps them.
func TestManifestRoundTrip(t *testing.T) {
	m, err := LoadManifest("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, o := range m.objects() {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, data...)
	}
	again, err := ParseManifest("testdata/again", text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	forget(m)
	forget(again)
	if !reflect.DeepEqual(m, again) {
		t.Errorf("%s\n%+v\n%+v", text, m, again)
	}
	var s Service // by encoding/json, as other programs read it
	if data, _ := json.Marshal(m.Services[0]); json.Unmarshal(data, &s) != nil || !reflect.DeepEqual(&s, m.Services[0]) {
		t.Errorf("%+v", s)
	}
}

func forget(m *Manifest) {
	for _, p := range m.Pods {
		p.source = nil
	}
	for _, d := range m.Deployments {
		d.source = nil
	}
	for _, s := range m.Services {
		s.source = nil
	}
	for _, e := range m.Endpoints {
		e.source = nil
	}
}

// Every file of the examples that is a manifest is one.
func TestExamples(t *testing.T) {
	files, _ := filepath.Glob("../examples/*.[jy]*")
	more, _ := filepath.Glob("../examples/*/*.[jy]*")
	if files = append(files, more...); len(files) < 3 {
		t.Fatalf("examples %q", files)
	}
	for _, file := range files {
		m, err := LoadManifest(file)
		if err != nil {
			t.Error(err)
		} else if w := m.Warnings(); len(w) > 0 {
			t.Errorf("%s: %v", file, w)
		}
	}
}

// FuzzParseManifest looks for panics, and for manifests that pass but do not
// survive being written and read again.
func FuzzParseManifest(f *testing.F) {
	data, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(manifest(aPod, service("s", `"selector": {"app": "a"}, "ports": [{"port": 1, "targetPort": "http"}]`), deployment("web", template)))
	f.Add([]byte(`{"apiVersion": "v1", "kind": "List", "items": [` + endpoints("s", `{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}`) + `]}`))
	f.Add([]byte(`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "annotations": {"peapod.dev/host-port": "a=[::1]:80, b=81", "peapod.dev/slow-start": "1s"}}, "spec": {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest("f", data)
		if err != nil {
			var errs *Errors
			if !errors.As(err, &errs) || len(errs.List) == 0 {
				t.Fatalf("%#v", err)
			}
			return
		}
		m.Warnings()
		var text []byte
		for _, o := range m.objects() {
			one, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, one...)
		}
		if _, err := ParseManifest("f", text); err != nil && !strings.Contains(err.Error(), "more than 1048576 bytes") {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
