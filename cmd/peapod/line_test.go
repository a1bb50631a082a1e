package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestUnknownNames(t *testing.T) {
	for in, want := range map[string]string{
		"lsit":                         `there is no command "lsit": did you mean list? (peapod --help lists them)`,
		"xyzzy":                        `there is no command "xyzzy" (peapod --help lists them)`,
		"pod rn":                       `there is no command "pod rn": did you mean run? (peapod pod --help lists them)`,
		"pod demo":                     `there is no command "pod demo" (peapod pod --help lists them)`,
		"run --bundel x":               `run: there is no option --bundel: did you mean --bundle? (peapod run --help lists them)`,
		"pod run --nmae x":             `pod run: there is no option --nmae: did you mean --name? (peapod pod run --help lists them)`,
		"--rot x list":                 `there is no option --rot: did you mean --root? (peapod --help lists them)`,
		"run -x":                       `run: there is no option -x (peapod run --help lists them)`,
		"run --preserve-fds=x ID":      `run: --preserve-fds "x": give a whole number`,
		"pod stop -t x P":              `pod stop: --time "x": give seconds, or a duration such as 90s or 5m`,
		"pod logs --tail x P":          `pod logs: --tail "x": give a whole number`,
		"pod logs P --tail":            `pod logs: --tail: a value is missing: give a whole number`,
		"pod run F --name":             `pod run: --name: a value is missing: give NAME`,
		"pod rm --force=x P":           `pod rm: --force "x": give true, false or no value`,
		"--debug=x list":               `peapod: --debug "x": give true, false or no value`,
		"pod logs P --tail -1":         `pod logs: --tail -1: give a number of lines, 0 or more`,
		"pod stop -t -1 P":             `pod stop: --time -1: give seconds, 0 or more`,
		"pod stop -t NaN P":            `pod stop: --time NaN: give seconds, 0 or more`,
		"pod run F --name=":            `pod run: --name: give a name, or leave the option out`,
		"pod run /":                    `read the spec: / is a directory: give the spec's file, or - for standard input`,
		"--root":                       `peapod: --root: a value is missing: give DIR`,
		"help lsit":                    `there is no command "lsit": did you mean list? (peapod --help lists them)`,
		"help pod rn":                  `there is no command "pod rn": did you mean run? (peapod pod --help lists them)`,
		"checkpoint":                   `checkpoint: an argument is missing; usage: peapod checkpoint [options] ID`,
		"features x":                   `features takes no argument, got "x"`,
		"version":                      `there is no command "version": did you mean --version? (peapod --help lists them)`,
		"pod list":                     `there is no command "pod list": did you mean ps? (peapod pod --help lists them)`,
		"pod delete x":                 `there is no command "pod delete": did you mean rm? (peapod pod --help lists them)`,
		"svc ls":                       `there is no command "svc": did you mean service? (peapod --help lists them)`,
		"service get":                  `there is no command "service get": did you mean ls? (peapod service --help lists them)`,
		"service ls -o xml":            `--output "xml": give table, wide, json, yaml or name`,
		"service inspect -o x y":       `--output "x": give json, yaml or text`,
		"service top -o x":             `--output "x": give table or json`,
		"service top -i 0":             `--interval 0: give 0.1 to 3600 seconds`,
		"service top -i NaN":           `--interval NaN: give 0.1 to 3600 seconds`,
		"service inspect":              `service inspect: an argument is missing; usage: peapod service inspect [options] SERVICE...`,
		"pod ps x":                     `pod ps takes no argument, got "x"`,
		"pod scale pod/x --replicas 1": `pod scale: pod/x is a pod; give a Deployment, as deployment/NAME`,
		"pod restart --all x":          `pod restart: --all stands for all pods: leave it out, or the others`,
		"pod logs -p -f x":             `pod logs: --previous is about a run that has ended: leave --follow out`,
		"pod rm -t 5 x":                `pod rm: --time is for pods that run: give --force too`,
		"pod wait --timeout x y":       `pod wait: --timeout "x": give seconds, or a duration such as 90s or 5m`,
		"pod exec x":                   `pod exec: an argument is missing; usage: peapod pod exec [options] POD [--] COMMAND [ARGUMENT...]`,
		"run -- -d":                    `container id "-d": must not begin with -`,
		"create -- --help":             `container id "--help": must not begin with -`,
		"delete":                       `delete: an argument is missing; usage: peapod delete [options] ID`,
		"start a b":                    `start: there are 2 arguments; usage: peapod start ID`,
	} {
		p := newPeapod()
		err := p.main(t.Context(), strings.Fields(in))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestComplete(t *testing.T) {
	root := t.TempDir()
	t.Setenv("PEAPOD_ROOT", root)
	makeDirs(t, root, "containers/web1", "containers/web2", "containers/db", "pods/hello", "pods/web-0", "services/web", "services/.db")
	for name, text := range map[string]string{
		"pods/hello/pod.json": `{"spec": {"containers": [{"name": "web"}, {"name": "kv"}]}}`, "pods/web-0/group": `{"deployment": "web"}`,
		"pods/web-0/pod.json": `{"spec": {"containers": [{"name": "only"}, {"name": "web"}]}}`,
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	other := t.TempDir()
	makeDirs(t, other, "containers/elsewhere")
	for in, want := range map[string]string{
		"":                           "checkpoint completion create delete events exec features kill list pause plan pod proxy ps restore resume run service spec start state stats update",
		"st":                         "start state stats",
		"--ro":                       "--root",
		"--root ":                    "",
		"delete ":                    "db web1 web2",
		"delete web":                 "web1 web2",
		"delete --force w":           "web1 web2",
		"delete web1 ":               "",
		"delete --":                  "--force --help",
		"--root " + other + " kill ": "elsewhere",
		"exec web1 ":                 "",
		"exec web1 -":                "",
		"exec --env ":                "",
		"exec --env A=1 w":           "web1 web2",
		"run ":                       "",
		"list --format ":             "json table",
		"ps -f j":                    "json",
		"--log-format t":             "text",
		"kill web1 TE":               "TERM",
		"kill web1 TERM ":            "",
		"run --no-p":                 "--no-pivot",
		"run --bundle ":              "",
		"pod ":                       "apply exec inspect logs port ps restart rm run scale start stop wait",
		"pod l":                      "logs",
		"pod stop ":                  "deployment/web hello web-0",
		"pod stop hello ":            "deployment/web web-0",
		"pod run ":                   "",
		"pod exec h":                 "hello",
		"pod exec hello -":           "--container --env --help --stdin --tty --user --workdir",
		"pod exec hello -c ":         "kv web",
		"pod exec hello -c k":        "kv",
		"pod exec hello -c web ":     "",
		"pod exec hello ls -":        "",
		"pod logs -c ":               "kv only web",
		"pod logs --container w":     "web",
		"pod rm hello ":              "deployment/web web-0",
		"pod inspect w":              "web-0",
		"pod inspect d":              "deployment/web",
		"pod scale ":                 "deployment/web",
		"pod ps -o ":                 "json name table wide yaml",
		"stats w":                    "web-0 web1 web2",
		"service ":                   "inspect ls metrics top",
		"service top ":               "web",
		"service inspect w":          "web",
		"nope ":                      "",
		"completion ":                "bash fish zsh",
		"completion z":               "zsh",
	} {
		words := strings.Split(in, " ")
		if got := strings.Join(newPeapod().complete(words), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := newPeapod().complete(nil); !slices.Contains(got, "run") {
		t.Errorf("without a word: %q", got)
	}
}
