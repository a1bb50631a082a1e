package nearest

import "testing"

func TestName(t *testing.T) {
	fields := []string{"name", "image", "command", "args", "env", "containerPort", "volumeMounts", "redis-server", "sh"}
	for _, tt := range []struct{ name, want string }{
		{"comand", "command"},
		{"containerport", "containerPort"},
		{"conatinerPort", "containerPort"},
		{"volumeMount", "volumeMounts"},
		{"redis-servr", "redis-server"},
		{"nmae", "name"},
		{"agrs", "args"},
		{"hs", "sh"},
		{"Env", "env"},
		{"livenessProbe", ""},
		{"x", ""},
		{"", ""},
		{"command", ""},
	} {
		if got := Name(tt.name, fields); got != tt.want {
			t.Errorf("Name(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("comand", "command")
	f.Add("", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		if got := Name(a, []string{b}); got != "" && got != b {
			t.Fatalf("Name(%q, %q) = %q", a, b, got)
		}
		if len(a) > maxLength || len(b) > maxLength {
			return
		}
		if d, e := distance(a, b), distance(b, a); d != e || d > max(len(a), len(b)) || (d == 0) != (a == b) {
			t.Fatalf("distance(%q, %q) = %d, the other way %d", a, b, d, e)
		}
	})
}
