package pod

import (
	"errors"
	"strings"
	"testing"
)

// Errors of both kinds are told at once, without those that only follow from
// others.
func TestErrorsTogether(t *testing.T) {
	for _, tt := range []struct{ what, container, rest, want string }{
		{"unknown field and bad values", `"comand": ["x"], "ports": [{"containerPort": 70000}], "name": "A", "image": "x"`, ``,
			"comand: unknown field; did you mean command?|ports[0].containerPort: port 70000 is out of range; use 1 to 65535|name: \"A\" is not a DNS label"},
		{"misspelled", `"nme": "a", "imge": "x"`, ``, "nme: unknown field; did you mean name?|imge: unknown field; did you mean image?"},
		{"wrong type", `"name": 1, "image": ["x"], "workingDir": "x"`, ``, "name: found 1, expected|image: found a list|workingDir: \"x\" is not absolute"},
		{"refused", `"name": "a", "tty": true, "workingDir": "x"`, ``, "tty: found true|workingDir: \"x\" is not absolute|image: missing"},
		{"no value", `"name": "a", "image": "x", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {}}}, {"name": "1"}]`, ``,
			"secretKeyRef: not supported yet|env[1].name: \"1\" cannot name a variable"},
		{"host port", `"name": "a", "image": "x", "ports": [{"containerPort": 1, "hostPort": "1", "hostIP": "127.0.0.1"}]`, ``, "hostPort: found the string"},
		{"volumes", `"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/x"}]`, `, "volums": [{"name": "v"}]`, "spec.volums: unknown field; did you mean volumes?"},
		{"volume's name", `"name": "a", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/x"}]`, `, "volumes": [{"name": 5}]`, "spec.volumes[0].name: found 5"},
		{"no list", `}, 5, {`, ``, "spec.containers[0].name: missing|spec.containers[0].image: missing|spec.containers[1]: found 5|spec.containers[2].name: missing|spec.containers[2].image: missing"},
	} {
		_, err := Parse("p.json", []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{`+tt.container+`}]`+tt.rest+`}}`))
		if err == nil {
			t.Errorf("%s: no error", tt.what)
			continue
		}
		got, want := strings.Split(err.Error(), "\n"), strings.Split(tt.want, "|")
		same := len(got) == len(want)
		for _, w := range want {
			same = same && strings.Contains(err.Error(), w)
		}
		if !same {
			t.Errorf("%s:\n%v\nwant %d lines:\n%s", tt.what, err, len(want), strings.Join(want, "\n"))
		}
	}
}

// The first ten in the order of the file are told.
func TestErrorsTogetherMany(t *testing.T) {
	var ports []string
	for range 8 {
		ports = append(ports, `{"containerPort": 70000}`, `{"containerPort": "x"}`)
	}
	_, err := Parse("p.json", []byte(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x", "ports": [`+
		strings.Join(ports, ",\n")+`]}]}}`))
	var errs *Errors
	if !errors.As(err, &errs) || len(errs.List) != 10 || !errs.More {
		t.Fatalf("%v", err)
	}
	for i, e := range errs.List {
		if e.Line != i+1 {
			t.Errorf("error %d is about line %d", i, e.Line)
		}
	}
}
