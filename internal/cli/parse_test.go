package cli

import (
	"slices"
	"strings"
	"testing"
)

// program has a command of each form.
func program() *Command {
	process := []Flag{{Kind: Strings, Name: "env", Short: "e"}, {Name: "tty", Short: "t"}, {Name: "stdin", Short: "i"},
		{Kind: String, Name: "process", Short: "p"}, {Kind: String, Name: "container", Short: "c"}}
	do := func(*Context) error { return nil }
	return &Command{
		Name: "prog", Usage: "do things", ArgsUsage: "[arguments]",
		Flags: []Flag{{Kind: String, Name: "root", Value: "/run", Env: "PROG_ROOT", Usage: "keep things in `DIR`"}, {Name: "debug"}},
		Commands: []*Command{
			{Name: "run", Action: do, ArgsUsage: "ID", Flags: []Flag{{Kind: String, Name: "bundle", Short: "b", Value: ".", Usage: "the `DIR`"},
				{Name: "detach", Short: "d"}, {Kind: Int, Name: "fds", Value: "3"}, {Name: "secret", Hidden: true}}},
			{Name: "delete", Action: do, Flags: []Flag{{Name: "force", Short: "f"}}},
			{Name: "exec", Action: do, ArgsUsage: "ID COMMAND", Verbatim: 1, Flags: process},
			{Name: "hidden", Hidden: true, Action: do},
			{Name: "pod", Usage: "pods", Elsewhere: map[string]string{"ls": "ps"}, Commands: []*Command{
				{Name: "exec", Action: do, Verbatim: 1, Late: true, Flags: process},
				{Name: "stop", Action: do, Flags: []Flag{{Kind: Float, Name: "time", Short: "t", Usage: "after `SECONDS`"}}},
			}},
		},
		Elsewhere: map[string]string{"pause": ""},
	}
}

// normal writes a line with its options before its arguments, by their names.
func normal(c *Context) string {
	words := slices.Clone(c.Path)
	for _, s := range c.settings {
		words = append(words, dashed(s.flag.Name)+"="+s.value)
	}
	if c.Help {
		return strings.Join(append(words, "--help"), " ")
	}
	return strings.Join(append(append(words, "--"), c.args...), " ")
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "--help",
		"run ID":                              "run -- ID",
		"--root /r --debug run ID":            "run --root=/r --debug=true -- ID",
		"--root=/r run ID":                    "run --root=/r -- ID",
		"delete ID --force":                   "delete --force=true -- ID",
		"delete ID -f=false":                  "delete --force=false -- ID",
		"run ID -b /b -d":                     "run --bundle=/b --detach=true -- ID",
		"run -db /b ID":                       "run --detach=true --bundle=/b -- ID",
		"run -b=/b ID":                        "run --bundle=/b -- ID",
		"run -bundle /b ID":                   "run --bundle=/b -- ID",
		"run --bundle= ID":                    "run --bundle= -- ID",
		"run -- -d":                           "run -- -d",
		"run - ID":                            "run -- - ID",
		"run ID --help":                       "run --help",
		"run -dh":                             "run --detach=true --help",
		"exec ID ls -t --help":                "exec -- ID ls -t --help",
		"exec -e A=1 --env B=2 ID -- ls -- x": "exec --env=A=1 --env=B=2 -- ID ls -- x",
		"exec -t ID -t":                       "exec --tty=true -- ID -t",
		"exec -it ID":                         "exec --stdin=true --tty=true -- ID",
		"exec --help ID":                      "exec --help",
		"pod exec -it P sh -c x":              "pod exec --stdin=true --tty=true -- P sh -c x",
		"pod exec P -c kv -- sh -c x":         "pod exec --container=kv -- P sh -c x",
		"pod exec P -t sh -c x":               "pod exec --tty=true -- P sh -c x",
		"pod stop -t -1 P":                    "pod stop --time=-1 -- P",
		"pod":                                 "pod --help",
		"pod --help":                          "pod --help",
		"help exec":                           "exec --help",
		"help":                                "--help",
		"-h":                                  "--help",
		"help pod stop":                       "pod stop --help",
		"help run ID --detach":                "run --help",
		"help help":                           "--help",
		"help --help":                         "--help",
		"--root /r help run":                  "run --root=/r --help",
	} {
		c, err := Parse(program(), strings.Fields(in))
		if err != nil || normal(c) != want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", in, normal(c), err, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for in, want := range map[string]string{
		"rnu":               `there is no command "rnu": did you mean run? (prog --help lists them)`,
		"hiden":             `there is no command "hiden" (prog --help lists them)`,
		"pause":             `runc's "pause" is not supported yet (prog --help lists what is)`,
		"pod ls":            `there is no command "pod ls": did you mean ps? (prog pod --help lists them)`,
		"help pod xyzzy":    `there is no command "pod xyzzy" (prog pod --help lists them)`,
		"run -bd /b":        `run: there is no option --bd (prog run --help lists them)`,
		"run --bundel x":    `run: there is no option --bundel: did you mean --bundle? (prog run --help lists them)`,
		"run --secrt":       `run: there is no option --secrt (prog run --help lists them)`,
		"--rot x run":       `there is no option --rot: did you mean --root? (prog --help lists them)`,
		"run --fds x":       `run: --fds "x": give a whole number`,
		"pod stop -t=x":     `pod stop: --time "x": give a number`,
		"pod stop P -t":     `pod stop: --time: a value is missing: give a number`,
		"run --bundle":      `run: --bundle: a value is missing: give DIR`,
		"delete --force=x":  `delete: --force "x": give true, false or no value`,
		"delete --help=x":   `delete: --help "x": give true, false or no value`,
		"--root":            `prog: --root: a value is missing: give DIR`,
		"exec --process":    `exec: --process: a value is missing: give a value`,
		"pod exec P --nope": `pod exec: there is no option --nope (prog pod exec --help lists them)`,
	} {
		if _, err := Parse(program(), strings.Fields(in)); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", in, err, want)
		}
	}
}

func TestValues(t *testing.T) {
	c, err := Parse(program(), strings.Fields("--debug run -b x -b y --fds 7 ID"))
	if err != nil || c.String("bundle") != "y" || c.Int("fds") != 7 || !c.Bool("debug") || c.Bool("detach") || c.String("root") != "/run" ||
		!c.IsSet("fds") || c.IsSet("root") || c.Args().First() != "ID" || c.Args().Get(1) != "" || c.Args().Tail() != nil {
		t.Errorf("%v, %v", normal(c), err)
	}
	t.Setenv("PROG_ROOT", "/elsewhere")
	if c.String("root") != "/elsewhere" {
		t.Error("the variable is not looked at")
	}
	c, _ = Parse(program(), strings.Fields("exec -e A=1 -e B=2 ID x y"))
	if got := c.Strings("env"); !slices.Equal(got, []string{"A=1", "B=2"}) || !slices.Equal(c.Args().Tail(), []string{"x", "y"}) {
		t.Errorf("%q, %q", got, c.Args())
	}
	if c, _ = Parse(program(), strings.Fields("pod stop -t 0.5")); c.Float("time") != 0.5 {
		t.Error(c.Float("time"))
	}
}

func TestNeedArgs(t *testing.T) {
	c, _ := Parse(program(), strings.Fields("run A B"))
	for _, x := range []struct {
		least, most int
		want        string
	}{
		{1, 2, ""}, {0, -1, ""}, {2, 2, ""},
		{0, 0, `run takes no argument, got "A"`},
		{1, 1, "run: there are 2 arguments; usage: prog run [options] ID"},
		{3, -1, "run: an argument is missing; usage: prog run [options] ID"},
	} {
		if err := c.NeedArgs(x.least, x.most); x.want == "" && err != nil || x.want != "" && (err == nil || err.Error() != x.want) {
			t.Errorf("%d, %d: %v", x.least, x.most, err)
		}
	}
}

// Help texts fit a terminal: what is written as one line is wrapped.
func TestHelpWraps(t *testing.T) {
	root := program()
	run := root.Find("run")
	run.Usage = strings.Repeat("word ", 30)
	run.Description = strings.Repeat("a sentence ", 20) + "\n\n  indented " + strings.Repeat("x", 90) + "\n\nExample: prog " + strings.Repeat("y", 90)
	run.Flags = append(run.Flags, Flag{Kind: String, Name: "with-a-name-that-is-too-long-by-far", Usage: strings.Repeat("do ", 40)})
	for _, line := range []string{"run --help", "--help"} {
		c, err := Parse(root, strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		c.WriteHelp(&b)
		for l := range strings.Lines(b.String()) {
			as := strings.Contains(l, "xxx") || strings.Contains(l, "yyy")
			if n := len(strings.TrimSuffix(l, "\n")); n > 80 != as {
				t.Errorf("%s: %d columns: %q", line, n, l)
			}
		}
	}
}

func TestAliases(t *testing.T) {
	root := program()
	stop := root.Find("pod").Find("stop")
	stop.Flags[0].Aliases = []string{"grace-period"}
	for _, line := range []string{"pod stop --grace-period 3 P", "pod stop --grace-period=3 P", "pod stop -t3=3 P"} {
		c, err := Parse(root, strings.Fields(line))
		if strings.Contains(line, "-t3") {
			if err == nil {
				t.Errorf("%s: no complaint", line)
			}
			continue
		}
		if err != nil || c.Float("time") != 3 || !c.IsSet("time") {
			t.Errorf("%s: %v, %v", line, c.Float("time"), err)
		}
	}
}

// FuzzParse checks that nothing is lost of a line that is understood: each word
// is an option, its value, or an argument.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"run -db /b ID", "pod exec P -c kv -- sh -c x", "help pod", "exec -it ID ls -- x", "-", "--", "--=", "-=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		c, err := Parse(program(), words)
		Complete(program(), words, func(*Context) []string { return nil })
		if err != nil || c.Help {
			return
		}
		if n := len(c.Path) + len(c.args) + len(c.settings); n > 2*len(line)+1 {
			t.Errorf("%q: %d words", line, n)
		}
		again, err := Parse(program(), strings.Split(normal(c), " "))
		if strings.HasPrefix(line, "-") || c.Command.Verbatim > 0 {
			return // global options stand before the command; -- may be the user's
		}
		if err != nil || normal(again) != normal(c) {
			t.Errorf("%q is %q, and that is %q (%v)", line, normal(c), normal(again), err)
		}
	})
}
