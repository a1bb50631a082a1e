package pod

import (
	"strings"
	"testing"
)

func TestValidateProbes(t *testing.T) {
	const at = "p.json:6: spec.containers[0]."
	for _, tt := range []struct{ container, want string }{
		{`"livenessProbe": {"tcpSocket": {"port": 80}}, "readinessProbe": {"httpGet": {"port": 80}, "successThreshold": 2}, "startupProbe": {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": 1}`, ""},
		{`"ports": [{"containerPort": 80, "name": "http"}], "livenessProbe": {"httpGet": {"port": "http", "host": "localhost", "scheme": "HTTP", "path": "/x?y=%20", "httpHeaders": [{"name": "Host", "value": "a b"}]}}`, ""},
		{`"readinessProbe": {"tcpSocket": {"port": 80, "host": "127.0.0.2"}, "periodSeconds": 0, "initialDelaySeconds": 0}`, ""},
		{`"livenessProbe": {}`, `livenessProbe: missing: what to ask; use exec, httpGet, tcpSocket or grpc`},
		{`"livenessProbe": {"grpc": {"port": 1, "service": "a.b"}}`, ``},
		{`"livenessProbe": {"grpc": {"service": "a.b"}}`, `livenessProbe.grpc.port: missing; use 1 to 65535`},
		{`"livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 80}}`, `livenessProbe: a probe is one of exec, httpGet, tcpSocket and grpc, not several`},
		{`"livenessProbe": {"exec": {"command": []}}`, `livenessProbe.exec.command: missing; its first word is the executable, no shell is involved`},
		{`"livenessProbe": {"exec": {"command": "true"}}`, `livenessProbe.exec.command: found the string "true", expected a list; put it into [ ]`},
		{`"livenessProbe": {"tcpSocket": {}}`, `livenessProbe.tcpSocket.port: missing; use a number or the name of one of the container's ports`},
		{`"livenessProbe": {"tcpSocket": {"port": 0}}`, `livenessProbe.tcpSocket.port: found 0, expected a port from 1 to 65535 or the name of one`},
		{`"livenessProbe": {"tcpSocket": {"port": 65536}}`, `livenessProbe.tcpSocket.port: port 65536 is out of range; use 1 to 65535`},
		{`"livenessProbe": {"tcpSocket": {"port": "80"}}`, `livenessProbe.tcpSocket.port: found the string "80", expected a number or the name of a port; leave out the quotes`},
		{`"livenessProbe": {"tcpSocket": {"port": ""}}`, `livenessProbe.tcpSocket.port: empty; use a number or the name of a port`},
		{`"livenessProbe": {"tcpSocket": {"port": true}}`, `livenessProbe.tcpSocket.port: found a boolean, expected a number or the name of a port`},
		{`"livenessProbe": {"tcpSocket": {"port": "a_b"}}`, `livenessProbe.tcpSocket.port: "a_b" cannot name a port: at most 15 lower-case letters, digits and single '-', with a letter, not at its ends a '-'`},
		{`"livenessProbe": {"tcpSocket": {"port": "web"}}`, `livenessProbe.tcpSocket.port: the container has no TCP port "web"; it names none`},
		{`"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "name": "web", "protocol": "UDP"}], "livenessProbe": {"tcpSocket": {"port": "web"}}`, `livenessProbe.tcpSocket.port: the container has no TCP port "web"; it has http`},
		{`"ports": [{"containerPort": 80, "name": "http"}], "livenessProbe": {"tcpSocket": {"port": "htp"}}`, `livenessProbe.tcpSocket.port: the container has no TCP port "htp"; did you mean http?`},
		{`"livenessProbe": {"tcpSocket": {"port": 80, "host": "db"}}`, `livenessProbe.tcpSocket.host: "db" is not an IP address; leave it out for the pod itself`},
		{`"livenessProbe": {"httpGet": {"port": 80, "host": "db"}}`, `livenessProbe.httpGet.host: "db" is not an IP address; leave it out for the pod itself; the name that the request is for goes into httpHeaders as Host`},
		{`"livenessProbe": {"httpGet": {"port": 80, "scheme": "http"}}`, `livenessProbe.httpGet.scheme: unknown value "http"; use HTTP; did you mean HTTP?`},
		{`"livenessProbe": {"httpGet": {"port": 80, "scheme": "HTTPS"}}`, `livenessProbe.httpGet.scheme: HTTPS is not supported yet; use tcpSocket, or exec with a program that speaks it`},
		{`"livenessProbe": {"httpGet": {"port": 80, "path": "/a b"}}`, `livenessProbe.httpGet.path: "/a b" has a blank or control character; write it as %20`},
		{`"livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "a:", "value": "x"}, {"name": "b", "value": "x\r\ny: z"}]}}`,
			`livenessProbe.httpGet.httpHeaders[0].name: "a:" cannot name a header field: letters, digits and '-'|livenessProbe.httpGet.httpHeaders[1].value: "x\r\ny: z" has a control character`},
		{`"livenessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2}`, `livenessProbe.successThreshold: found 2; it is 1 for all but readiness probes`},
		{`"startupProbe": {"tcpSocket": {"port": 80}, "successThreshold": 2}`, `startupProbe.successThreshold: found 2; it is 1 for all but readiness probes`},
		{`"readinessProbe": {"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 1}`, `readinessProbe.terminationGracePeriodSeconds: a readiness probe ends no container; leave the field out`},
		{`"livenessProbe": {"tcpSocket": {"port": 80}, "terminationGracePeriodSeconds": 0}`, `livenessProbe.terminationGracePeriodSeconds: 0 is out of range; use 1 to 31536000`},
		{`"livenessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": -1, "failureThreshold": -1}`, `livenessProbe.periodSeconds: -1 is out of range; use 0 to 31536000 seconds|livenessProbe.failureThreshold: -1 is out of range; use 0 to 31536000 times`},
		{`"livenessProbe": {"tcpSocket": {"prot": 80}}`, `livenessProbe.tcpSocket.prot: unknown field; did you mean port?`},
	} {
		_, err := Parse("p.json", []byte(spec(tt.container, "")))
		var got []string
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				// The column is told by the tests of Parse.
				place, text, _ := strings.Cut(line, ": ")
				got = append(got, strings.TrimPrefix(place[:strings.LastIndex(place, ":")]+": "+text, at))
			}
		}
		if strings.Join(got, "|") != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.container, strings.Join(got, "|"), tt.want)
		}
	}
}

func TestProbeDefaults(t *testing.T) {
	p, err := Parse("p.json", []byte(spec(`"livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": 7, "timeoutSeconds": 6, "successThreshold": 5, "failureThreshold": 4}`, "")))
	if err != nil {
		t.Fatal(err)
	}
	c := p.Spec.Containers[0]
	if l := c.LivenessProbe; l.PeriodSeconds != 10 || l.TimeoutSeconds != 1 || l.SuccessThreshold != 1 || l.FailureThreshold != 3 || l.HTTPGet.Path != "/" || l.HTTPGet.Scheme != "HTTP" {
		t.Errorf("%+v %+v", l, l.HTTPGet)
	}
	if r := c.ReadinessProbe; r.PeriodSeconds != 7 || r.TimeoutSeconds != 6 || r.SuccessThreshold != 5 || r.FailureThreshold != 4 {
		t.Errorf("%+v", r)
	}
}
