package pod

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	p, err := Load("testdata/two.json")
	if err != nil {
		t.Fatal(err)
	}
	y, err := Load("testdata/two.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p.source, y.source = nil, nil
	if !reflect.DeepEqual(p, y) {
		t.Errorf("JSON and YAML differ:\n%+v\n%+v", p, y)
	}
	if p.Dir != "testdata" || p.Hostname() != "hello" || p.GracePeriod() != 5*time.Second || p.Metadata.Namespace != "default" {
		t.Errorf("dir %q, host name %q, grace period %v, namespace %q", p.Dir, p.Hostname(), p.GracePeriod(), p.Metadata.Namespace)
	}
	if c := p.Spec.Containers[1]; c.Resources.Requests.CPU.MilliValue() != 100 || c.Resources.Requests.Memory.Value() != 32<<20 || *c.SecurityContext.RunAsUser != 1000 {
		t.Errorf("container kv: %+v", c)
	}
}

// A pod survives being written as JSON, as the state directory keeps it.
func TestRoundTrip(t *testing.T) {
	p, err := Load("testdata/two.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("testdata/again", data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	p.source, again.source = nil, nil
	if !reflect.DeepEqual(p, again) {
		t.Errorf("%s\n%+v\n%+v", data, p, again)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load("testdata/none.json")
	checkError(t, "none.json", err, "pod spec: open testdata/none.json: no such file or directory")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("not fs.ErrNotExist")
	}
}

// TestBadFiles compares the errors of each file with the .err beside it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".err") {
			continue
		}
		want, err := os.ReadFile(file + ".err")
		if err != nil {
			t.Error(err)
			continue
		}
		_, err = Load(file)
		checkError(t, file, err, strings.TrimSuffix(string(want), "\n"))
	}
}

// Later checks find the line that they complain about.
func TestErrorf(t *testing.T) {
	p, err := Load("testdata/two.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ field, want string }{
		{"spec.containers[0].ports[0].hostPort", "testdata/two.json:15:71: "},
		{"spec.containers[1].image", "testdata/two.json:21:18: "},
		{"spec.containers[1].command[0]", "testdata/two.json:19:7: "},
		{`metadata.labels["app"]`, "testdata/two.json:4:51: "},
		{"spec.volumes", "testdata/two.json:34:5: "},
		{"spec.hostname", "testdata/two.json:5:3: "},
		{"metadata.labels", "testdata/two.json:4:33: "},
		{"nonsense", "testdata/two.json:1:1: "},
	} {
		err := p.Errorf(tt.field, "taken: %w", fs.ErrExist)
		checkError(t, tt.field, err, tt.want+tt.field+": taken: file already exists")
		var e *Error
		if !errors.Is(err, fs.ErrExist) || !errors.As(err, &e) || e.Field != tt.field {
			t.Errorf("%#v", err)
		}
	}
	checkError(t, "no file", (&Pod{}).Errorf("spec.hostname", "bad"), "spec.hostname: bad")
}

// Each refused field exists in no struct, and has a reason.
func TestRefusals(t *testing.T) {
	for _, r := range []interface {
		Refusals() refusals
	}{Metadata{}, Spec{}, PodSecurityContext{}, Container{}, EnvVarSource{}, Resources{}, ResourceList{}, VolumeMount{}, Volume{}, SecurityContext{},
		ServiceSpec{}, EndpointAddress{}, DeploymentSpec{}, LabelSelector{}, TemplateMetadata{}} {
		typ := reflect.TypeOf(r)
		for name, refusal := range r.Refusals() {
			if !strings.HasPrefix(refusal.Reason, "not supported") {
				t.Errorf("%v.%s: reason %q", typ, name, refusal.Reason)
			}
			for i := range typ.NumField() {
				if tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); tag == name {
					t.Errorf("%v.%s is supported and refused", typ, name)
				}
			}
		}
	}
}

// FuzzParse looks for panics, and for pods that pass but do not survive being
// written and read again.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/two.json", "testdata/two.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: c, image: ./c, env: [{name: A, value: $(A)}]}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("f", data)
		if err != nil {
			var errs *Errors
			if !errors.As(err, &errs) || len(errs.List) == 0 {
				t.Fatalf("%#v", err)
			}
			return
		}
		again, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f", again); err != nil {
			t.Fatalf("%v\n%s", err, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"two.json", "two.yaml"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(name, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
