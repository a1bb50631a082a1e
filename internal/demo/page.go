package demo

import (
	_ "embed" // for page.css
	"fmt"
	"html"
	"maps"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.css
var pageCSS string

// plain shows f to a terminal.
func plain(f *facts) []byte {
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "%-12s %s\n", name, value) }
	row("pod", f.Pod)
	row("host name", f.Hostname)
	if f.Visits != nil {
		row("visits", strconv.FormatInt(*f.Visits, 10))
	} else if f.VisitsError != "" {
		row("visits", "back end away: "+f.VisitsError)
	}
	row("user", fmt.Sprintf("uid %d, gid %d", f.UID, f.GID))
	row("pid", strconv.Itoa(f.Pid))
	row("directory", f.Directory)
	row("uptime", f.Uptime)
	row("arguments", quoted(f.Arguments))
	list := func(name string, values []string) {
		for _, v := range values {
			row(name, v)
			name = ""
		}
	}
	list("environment", f.Environment)
	list("namespaces", pairs(f.Namespaces))
	list("cgroup", f.Cgroup)
	list("processes", commandLines(f.Processes))
	return []byte(b.String())
}

// page shows f to a browser: one file, no script, nothing fetched.
func page(f *facts) []byte {
	var b strings.Builder
	title := f.Pod
	if title == "" {
		title = f.Hostname
	}
	fmt.Fprintf(&b, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>%[1]s · peapod</title>
<style>
%[2]s</style>
</head>
<body>
<header>
%[3]s
<div><h1>%[1]s</h1><p>A pod run by peapod. This page is what its <b>web</b> container sees.</p></div>
</header>
<main>
%[4]s<section>
<h2>Container</h2>
<dl>
`, html.EscapeString(title), pageCSS, podDrawing, counter(f))
	entry := func(name, value string) {
		fmt.Fprintf(&b, "<dt>%s</dt><dd>%s</dd>\n", html.EscapeString(name), html.EscapeString(value))
	}
	entry("pod", f.Pod)
	entry("host name", f.Hostname)
	entry("user", fmt.Sprintf("uid %d, gid %d", f.UID, f.GID))
	entry("pid", strconv.Itoa(f.Pid))
	entry("directory", f.Directory)
	entry("uptime", f.Uptime)
	b.WriteString("</dl>\n</section>\n<section>\n<h2>Namespaces</h2>\n<dl>\n")
	for _, name := range slices.Sorted(maps.Keys(f.Namespaces)) {
		entry(name, f.Namespaces[name])
	}
	b.WriteString("</dl>\n</section>\n")
	list := func(title string, values []string) {
		fmt.Fprintf(&b, "<section class=\"wide\">\n<h2>%s</h2>\n<ul>\n", title)
		for _, v := range values {
			fmt.Fprintf(&b, "<li>%s</li>\n", html.EscapeString(v))
		}
		b.WriteString("</ul>\n</section>\n")
	}
	list("Arguments", []string{quoted(f.Arguments)})
	list("Environment", f.Environment)
	list("Processes it can see", commandLines(f.Processes))
	list("cgroup", f.Cgroup)
	b.WriteString("</main>\n<footer>also as text (<code>curl</code>), <a href=\"/json\">JSON</a>, " +
		"<a href=\"/healthz\">/healthz</a> and <code>/kv/KEY</code> (GET, PUT)</footer>\n</body>\n</html>\n")
	return []byte(b.String())
}

// counter is the card of the visits, which the other container keeps.
func counter(f *facts) string {
	backend := html.EscapeString(f.Backend)
	if f.Visits == nil {
		return fmt.Sprintf("<section class=\"visits away\">\n<strong>?</strong>\n"+
			"<p>The <b>kv</b> container does not answer at %s.<br><code>%s</code></p>\n</section>\n",
			backend, html.EscapeString(f.VisitsError))
	}
	noun := "visits"
	if *f.Visits == 1 {
		noun = "visit"
	}
	return fmt.Sprintf("<section class=\"visits\">\n<strong>%d</strong>\n"+
		"<p>%s, counted by the <b>kv</b> container at %s. <a href=\"/\">Reload</a></p>\n</section>\n",
		*f.Visits, noun, backend)
}

func pairs(m map[string]string) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%-7s %s", name, m[name]))
	}
	return all
}

func commandLines(all []process) []string {
	var shown []string
	for _, p := range all {
		shown = append(shown, fmt.Sprintf("%d  %s", p.Pid, p.Command))
	}
	return shown
}

// quoted joins words and quotes those that would not be seen as one.
func quoted(words []string) string {
	shown := make([]string, len(words))
	for i, w := range words {
		if shown[i] = w; w == "" || strings.ContainsAny(w, " \t\n\"'\\") {
			shown[i] = strconv.Quote(w)
		}
	}
	return strings.Join(shown, " ")
}

// podDrawing is two peas in a pod: the two containers.
const podDrawing = `<svg viewBox="0 0 96 48" width="96" height="48" aria-hidden="true">
<path class="pod" d="M3 20C14 46 82 46 93 20 82 30 14 30 3 20Z"/>
<circle class="pea" cx="36" cy="23" r="11"/><circle class="pea" cx="60" cy="23" r="11"/>
<path class="front" d="M3 20C14 46 82 46 93 20 80 36 16 36 3 20Z"/>
</svg>`
