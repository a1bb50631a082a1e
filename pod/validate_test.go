package pod

import (
	"fmt"
	"strings"
	"testing"
)

// spec puts fields into a container and the pod's spec around it, all on lines
// of their own: the container's fields are on line 6, those of the spec on 5.
func spec(container, pod string) string {
	if container != "" {
		container = ", " + container
	}
	if pod != "" {
		pod += ", "
	}
	return fmt.Sprintf(`{
"apiVersion": "v1", "kind": "Pod",
"metadata": {"name": "p"},
"spec": {
%s"containers": [{"name": "c", "image": "./c"
%s}]}}
`, pod, container)
}

func TestValidate(t *testing.T) {
	const scratch = `"volumes": [{"name": "v", "emptyDir": {}}]`
	for _, tt := range []struct{ container, pod, want string }{
		{"", "", ""},
		{`"comand": ["x"]`, "", `p.json:6:3: spec.containers[0].comand: unknown field; did you mean command?`},
		{`"Ports": []`, "", `p.json:6:3: spec.containers[0].Ports: unknown field; did you mean ports?`},
		{`"ports": [{"containerPort": "80"}]`, "", `p.json:6:31: spec.containers[0].ports[0].containerPort: found the string "80", expected a number; leave out the quotes`},
		{`"ports": [{"containerPort": 80.5}]`, "", `p.json:6:31: spec.containers[0].ports[0].containerPort: found 80.5, expected a whole number`},
		{`"ports": [{"port": 80}]`, "", `p.json:6:14: spec.containers[0].ports[0].port: unknown field; known are name, containerPort, hostPort, hostIP, protocol`},
		{`"ports": {"containerPort": 80}`, "", `p.json:6:12: spec.containers[0].ports: found an object, expected a list; put it into [ ]`},
		{`"command": "sh"`, "", `p.json:6:14: spec.containers[0].command: found the string "sh", expected a list; put it into [ ]`},
		{`"command": ["sh", 1]`, "", `p.json:6:21: spec.containers[0].command[1]: found 1, expected a string; put it into quotes`},
		{`"command": ["sh", null]`, "", `p.json:6:21: spec.containers[0].command[1]: found null; leave the entry out`},
		{`"command": [""]`, "", `p.json:6:15: spec.containers[0].command[0]: empty; the first word of command is the executable`},
		{`"args": ["a\u0000b"]`, "", `p.json:6:12: spec.containers[0].args[0]: found a NUL character in the string "a\x00b"; no name, argument or path can hold one`},
		{`"livenessProbe": null, "lifecycle": null, "envFrom": [], "tty": false, "stdin": false, "workingDir": null`, "", ""},
		{`"tty": true`, "", `p.json:6:10: spec.containers[0].tty: found true: not supported yet: terminals for a pod's containers; leave the field out`},
		{`"imagePullPolicy": "Never"`, "", ""},
		{`"imagePullPolicy": "Always"`, "", `p.json:6:22: spec.containers[0].imagePullPolicy: Always is not supported: images are directories, nothing is pulled; use IfNotPresent or Never`},
		{`"imagePullPolicy": "never"`, "", `p.json:6:22: spec.containers[0].imagePullPolicy: unknown value "never"; use IfNotPresent, Never; did you mean Never?`},
		{`"workingDir": "srv"`, "", `p.json:6:17: spec.containers[0].workingDir: "srv" is not absolute`},

		{`"env": [{"name": "1A", "value": "x"}]`, "", `p.json:6:20: spec.containers[0].env[0].name: "1A" cannot name a variable: letters, digits, '_', '-' and '.', not beginning with a digit`},
		{`"env": [{"name": "A=B"}]`, "", `p.json:6:20: spec.containers[0].env[0].name: "A=B" cannot name a variable: letters, digits, '_', '-' and '.', not beginning with a digit`},
		{`"env": [{"value": "x"}]`, "", `p.json:6:11: spec.containers[0].env[0].name: missing`},
		{`"env": [{"name": "A", "value": true}]`, "", `p.json:6:34: spec.containers[0].env[0].value: found true, expected a string; put it into quotes`},
		{`"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]`, "", `p.json:6:39: spec.containers[0].env[0].valueFrom.secretKeyRef: not supported yet: there are no Secrets; write the value, or leave the field out`},
		{`"env": [{"name": "A", "valueFrom": {}}]`, "", `p.json:6:25: spec.containers[0].env[0].valueFrom: empty; use fieldRef, or value instead`},
		{`"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]`, "", `p.json:6:39: spec.containers[0].env[0].valueFrom: value is given too; leave out one of them`},
		{`"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]`, "", ``},
		{`"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]`, "", `p.json:6:65: spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: unknown field "metadata.labels"; use metadata.name, metadata.namespace, metadata.labels['KEY'], metadata.annotations['KEY'], status.podIP or status.hostIP`},
		{`"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}}}]`, "", `p.json:6:66: spec.containers[0].env[0].valueFrom.fieldRef.apiVersion: found "v2", expected "v1"`},

		{`"ports": [{"containerPort": 0}]`, "", `p.json:6:31: spec.containers[0].ports[0].containerPort: missing; use 1 to 65535`},
		{`"ports": [{"containerPort": 65536, "hostPort": -1}]`, "", "p.json:6:31: spec.containers[0].ports[0].containerPort: port 65536 is out of range; use 1 to 65535\n" +
			`p.json:6:50: spec.containers[0].ports[0].hostPort: port -1 is out of range; use 1 to 65535`},
		{`"ports": [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]`, "", ""},
		{`"ports": [{"containerPort": 53, "protocol": "UDP", "hostPort": 53}]`, "", `p.json:6:66: spec.containers[0].ports[0].hostPort: not supported yet: only TCP ports are forwarded from the host; leave hostPort out, or use protocol: TCP`},
		{`"ports": [{"containerPort": 53, "protocol": "SCTP"}]`, "", `p.json:6:47: spec.containers[0].ports[0].protocol: SCTP is not supported: use TCP or UDP`},
		{`"ports": [{"containerPort": 53, "protocol": "tcp"}]`, "", `p.json:6:47: spec.containers[0].ports[0].protocol: unknown value "tcp"; use TCP, UDP; did you mean TCP?`},
		{`"ports": [{"containerPort": 80, "name": "a_b"}]`, "", `p.json:6:43: spec.containers[0].ports[0].name: "a_b" cannot name a port: at most 15 lower-case letters, digits and single '-', with a letter, not at its ends a '-'`},
		{`"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]`, "", `p.json:6:79: spec.containers[0].ports[1].name: duplicate "a": ports[0] has it already`},
		{`"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}, {"containerPort": 81, "hostPort": 80, "hostIP": "127.0.0.2"}]`, "", ``},
		{`"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80, "hostIP": "127.0.0.2"}]`, "", `p.json:6:86: spec.containers[0].ports[1].hostPort: duplicate host port 80: spec.containers[0].ports[0] has it already`},
		{`"ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "localhost"}]`, "", `p.json:6:61: spec.containers[0].ports[0].hostIP: "localhost" is not an IP address such as 127.0.0.1 or ::1`},
		{`"ports": [{"containerPort": 80, "hostIP": "127.0.0.1"}]`, "", `p.json:6:45: spec.containers[0].ports[0].hostIP: it has no effect without hostPort; write hostPort too, or leave it out`},

		{`"resources": {"limits": {"memory": "12Q"}}`, "", `p.json:6:38: spec.containers[0].resources.limits.memory: "12Q": unknown suffix "Q"; use one of Ki Mi Gi Ti Pi Ei k M G T P E, or m for thousandths`},
		{`"resources": {"limits": {"memory": true}}`, "", `p.json:6:38: spec.containers[0].resources.limits.memory: found a boolean, expected a quantity such as "64Mi", "500m" or 2`},
		{`"resources": {"limits": {"memory": "64m"}}`, "", `p.json:6:38: spec.containers[0].resources.limits.memory: memory "64m": m stands for thousandths of a byte; did you mean 64M or 64Mi?`},
		{`"resources": {"limits": {"memory": 1048576}}`, "", `p.json:6:38: spec.containers[0].resources.limits.memory: memory "1048576" is too little to start a process in; use 4Mi at least`},
		{`"resources": {"limits": {"memory": "9Ei"}}`, "", `p.json:6:38: spec.containers[0].resources.limits.memory: memory "9Ei" is not a whole number of bytes below 8Ei`},
		{`"resources": {"limits": {"memory": "64Mi", "cpu": 0}, "requests": {"memory": "65Mi"}}`, "", `p.json:6:53: spec.containers[0].resources.limits.cpu: cpu "0" would leave nothing to run with; leave the limit out for no limit` + "\n" +
			`p.json:6:80: spec.containers[0].resources.requests.memory: the request "65Mi" is more than the limit "64Mi"`},
		{`"resources": {"limits": {"cpu": 0.5}, "requests": {"cpu": "501m"}}`, "", `p.json:6:61: spec.containers[0].resources.requests.cpu: the request "501m" is more than the limit "0.5"`},
		{`"resources": {"limits": {"cpu": "0.0001"}}`, "", `p.json:6:35: spec.containers[0].resources.limits.cpu: cpu "0.0001" is finer than 1m, a thousandth of a CPU`},
		{`"resources": {"limits": {"cpu": "64Mi"}}`, "", `p.json:6:35: spec.containers[0].resources.limits.cpu: cpu "64Mi" is more than a million CPUs; 500m is half of one`},
		{`"resources": {"limits": {"ephemeral-storage": "1Gi"}}`, "", `p.json:6:28: spec.containers[0].resources.limits.ephemeral-storage: not supported yet: limits on disk space; leave the field out`},

		{`"volumeMounts": [{"name": "v", "mountPath": "/v"}]`, "", `p.json:6:29: spec.containers[0].volumeMounts[0].name: no volume "v": spec.volumes is empty`},
		{`"volumeMounts": [{"name": "w", "mountPath": "/v"}]`, scratch, `p.json:6:29: spec.containers[0].volumeMounts[0].name: no volume "w" in spec.volumes, which has v`},
		{`"volumeMounts": [{"name": "v", "mountPath": "v"}]`, scratch, `p.json:6:47: spec.containers[0].volumeMounts[0].mountPath: "v" is not absolute`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/a/../v"}]`, scratch, `p.json:6:47: spec.containers[0].volumeMounts[0].mountPath: "/a/../v" contains ".."`},
		{`"volumeMounts": [{"name": "v", "mountPath": "//"}]`, scratch, `p.json:6:47: spec.containers[0].volumeMounts[0].mountPath: "//" would hide the whole image; use a directory below it`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/proc/sys"}]`, scratch, `p.json:6:47: spec.containers[0].volumeMounts[0].mountPath: "/proc/sys" belongs to the container itself`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v/"}]`, scratch, `p.json:6:81: spec.containers[0].volumeMounts[1].mountPath: duplicate "/v": volumeMounts[0] has it already`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "/x"}]`, scratch, `p.json:6:64: spec.containers[0].volumeMounts[0].subPath: "/x" is absolute; write it relative to the volume`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x/.."}]`, scratch, `p.json:6:64: spec.containers[0].volumeMounts[0].subPath: "x/.." contains ".."`},
		{`"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "None", "recursiveReadOnly": "Disabled"}]`, scratch, ``},
		{`"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]`, scratch, `p.json:6:73: spec.containers[0].volumeMounts[0].mountPropagation: found the string "Bidirectional": not supported yet: mounts stay on their side; leave the field out`},

		{`"securityContext": {"runAsUser": -1}`, "", `p.json:6:36: spec.containers[0].securityContext.runAsUser: -1 is out of range; use 0 to 2147483647`},
		{`"securityContext": {"runAsGroup": 99999999999999999999}`, "", `p.json:6:37: spec.containers[0].securityContext.runAsGroup: found 99999999999999999999, which is out of range`},
		{`"securityContext": {"privileged": true}`, "", `p.json:6:37: spec.containers[0].securityContext.privileged: found true: not supported yet: containers without their walls; add the capabilities that are needed, or leave the field out`},
		{`"securityContext": {"privileged": false, "capabilities": {"add": ["CAP_NET_ADMIN", "SYSLOG"], "drop": ["ALL"]}}`, "", ``},
		{`"securityContext": {"capabilities": {"add": ["NET_ADMN"], "drop": ["chown", "EVERYTHING"]}}`, "", `p.json:6:48: spec.containers[0].securityContext.capabilities.add[0]: unknown capability "NET_ADMN"; did you mean NET_ADMIN?` + "\n" +
			`p.json:6:70: spec.containers[0].securityContext.capabilities.drop[0]: unknown capability "chown"; did you mean CHOWN?` + "\n" +
			`p.json:6:79: spec.containers[0].securityContext.capabilities.drop[1]: unknown capability "EVERYTHING"; see capabilities(7)`},
		{`"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"add": ["SYS_ADMIN"]}}`, "", `p.json:6:83: spec.containers[0].securityContext.capabilities.add[0]: SYS_ADMIN contradicts allowPrivilegeEscalation: false; Kubernetes refuses it`},

		{"", `"hostname": "a.b"`, `p.json:5:13: spec.hostname: "a.b" is not a DNS label: use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends`},
		{"", `"restartPolicy": "Allways"`, `p.json:5:18: spec.restartPolicy: unknown value "Allways"; use Always, OnFailure, Never; did you mean Always?`},
		{"", `"terminationGracePeriodSeconds": -1`, `p.json:5:34: spec.terminationGracePeriodSeconds: -1 is out of range; use 0 (kill at once) to 31536000`},
		{"", `"initContainers": [{"name": "i"}]`, `p.json:5:1: spec.initContainers: not supported yet: all containers of a pod start together; leave the field out`},
		{"", `"hostNetwork": true`, ``},
		{"", `"hostNetwork": false, "dnsPolicy": "ClusterFirst", "serviceAccountName": "default", "automountServiceAccountToken": false, "os": {"name": "linux"}`, ``},
		{"", `"dnsPolicy": "Defualt"`, `p.json:5:14: spec.dnsPolicy: unknown value "Defualt"; use ClusterFirst, Default, None; did you mean Default?`},
		{"", `"dnsPolicy": "None"`, `p.json:4:1: spec.dnsConfig.nameservers: missing; dnsPolicy None takes the servers from here`},
		{"", `"dnsConfig": {"nameservers": ["1.2.3"], "searches": ["a b"]}`, "p.json:5:31: spec.dnsConfig.nameservers[0]: \"1.2.3\" is no IP address\n" + `p.json:5:54: spec.dnsConfig.searches[0]: "a b" is no name`},
		{"", `"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}, {"ip": "x"}]`, `p.json:5:65: spec.hostAliases[1].ip: "x" is no IP address`},
		{"", `"os": {"name": "windows"}`, `p.json:5:16: spec.os.name: found "windows"; peapod runs linux only`},
		{"", `"nodeSelector": {"kubernetes.io/os": "linux", "disk": "ssd"}`, `p.json:5:55: spec.nodeSelector["disk"]: not supported: this machine has no labels but kubernetes.io/os and kubernetes.io/arch; leave it out`},
		{"", `"securityContext": {"fsGroup": -5, "supplementalGroups": [1, -2]}`, "p.json:5:32: spec.securityContext.fsGroup: -5 is out of range; use 0 to 2147483647\n" +
			`p.json:5:62: spec.securityContext.supplementalGroups[1]: -2 is out of range; use 0 to 2147483647`},
		{"", `"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]}`, `p.json:5:21: spec.securityContext.sysctls: not supported yet: sysctls; leave the field out`},

		{"", `"volumes": [{"name": "v"}, {"name": "v"}]`, `p.json:5:37: spec.volumes[1].name: duplicate "v": spec.volumes[0] has it already`},
		{"", `"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]`, `p.json:5:13: spec.volumes[0]: a volume is hostPath or emptyDir, not both`},
		{"", `"volumes": [{"name": "v", "hostPath": {"path": "", "type": "Dir"}}]`, "p.json:5:48: spec.volumes[0].hostPath.path: missing\n" +
			`p.json:5:60: spec.volumes[0].hostPath.type: unknown value "Dir"; use Directory, DirectoryOrCreate, File, FileOrCreate, Socket`},
		{"", `"volumes": [{"name": "v", "hostPath": {"path": "/a/../b", "type": "CharDevice"}}]`, `p.json:5:48: spec.volumes[0].hostPath.path: "/a/../b" contains "..", which Kubernetes refuses; write the path out` + "\n" +
			`p.json:5:67: spec.volumes[0].hostPath.type: CharDevice is not supported yet: devices`},
		{"", `"volumes": [{"name": "v", "configMap": {"name": "m"}}]`, `p.json:5:27: spec.volumes[0].configMap: not supported yet: there are no ConfigMaps; put the files into a directory and use hostPath, or leave the field out`},
		{"", `"volumes": [{"name": "v", "emptyDir": {"medium": "memory"}}]`, `p.json:5:50: spec.volumes[0].emptyDir.medium: unknown value "memory"; use Memory; did you mean Memory?`},
		{"", `"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]`, `p.json:5:53: spec.volumes[0].emptyDir.sizeLimit: it cannot be kept to on disk yet; use medium: Memory, or leave it out`},
		{"", `"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1k"}}]`, `p.json:5:73: spec.volumes[0].emptyDir.sizeLimit: sizeLimit "1k" is not a whole number of bytes from 4Ki to 8Ei`},
	} {
		_, err := Parse("p.json", []byte(spec(tt.container, tt.pod)))
		checkError(t, tt.container+tt.pod, err, tt.want)
	}
}

func checkError(t *testing.T, what string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s\n got: %s\nwant: %s", what, strings.ReplaceAll(got, "\n", "\n      "), strings.ReplaceAll(want, "\n", "\n      "))
	}
}
