package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	mirror   = "http://deb.debian.org/debian"
	security = "http://deb.debian.org/debian-security"
	keyring  = "/usr/share/keyrings/debian-archive-keyring.gpg"
)

// sources are apt's, for a release of Debian.
func sources(arch, release string) string {
	line := "deb [arch=" + arch + " signed-by=" + keyring + "] "
	text := line + mirror + " " + release + " main\n"
	if !strings.Contains(release, "-") { // such as bookworm-backports
		text += line + security + " " + release + "-security main\n"
	}
	return text
}

// download gets the newest package, and of one that is there for its
// dependency only that dependency: "linux-image-cloud-amd64" leads to
// "linux-image-6.1.0-56-cloud-amd64".
func (c *cache) download(ctx context.Context, arch, release, name string) (deb string, err error) {
	a, err := c.apt(arch, release)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stderr, "vm: downloading %s for %s\n", name, arch)
	if _, err := a.run(ctx, "apt-get", "update", "-qq"); err != nil {
		return "", err
	}
	about, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", name)
	if err != nil {
		return "", err
	}
	if real := dependency(about, name); real != "" {
		name = real
	}
	if _, err := a.run(ctx, "apt-get", "download", "-qq", name); err != nil {
		return "", err
	}
	found, _ := filepath.Glob(filepath.Join(a.dir, name+"_*.deb"))
	if len(found) != 1 {
		return "", fmt.Errorf("apt-get download %s made %q", name, found)
	}
	return found[0], nil
}

// dependency is the kernel that a package of no content, for the newest one,
// depends on.
func dependency(about, name string) string {
	if !strings.HasPrefix(name, "linux-image-") {
		return ""
	}
	found := regexp.MustCompile(`(?m)^Depends: (?:.*, )?(linux-image-[0-9][^ ,]*)`).FindStringSubmatch(about)
	if found == nil {
		return ""
	}
	return found[1]
}

// apt is apt with lists of its own: of another architecture, or release, and
// without the host's packages.
type apt struct {
	dir  string
	args []string
}

func (c *cache) apt(arch, release string) (*apt, error) {
	dir := filepath.Join(c.dir, "apt-"+release+"-"+arch)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{"status": "", "sources.list": sources(arch, release)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	a := &apt{dir: dir}
	for _, o := range []string{
		"APT::Architecture=" + arch, "APT::Architectures=" + arch, "APT::Sandbox::User=", "Acquire::Languages=none",
		"Dir::State=" + dir, "Dir::State::status=" + dir + "/status", "Dir::State::lists=" + dir + "/lists",
		"Dir::Cache=" + dir, "Dir::Etc::sourcelist=" + dir + "/sources.list", "Dir::Etc::sourceparts=-",
	} {
		a.args = append(a.args, "-o", o)
	}
	return a, nil
}

func (a *apt) run(ctx context.Context, program string, args ...string) (string, error) {
	return output(ctx, a.dir, program, append(a.args, args...)...)
}

// extract unpacks a package.
func extract(ctx context.Context, deb, dir string) error {
	_, err := output(ctx, dir, "dpkg-deb", "-x", deb, dir)
	return err
}

// remedies are Debian's packages of the programs that are called.
var remedies = map[string]string{
	"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg", "xz": "xz-utils", "debootstrap": "debootstrap",
	"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm",
}

// need returns the path of a program, or what to install.
func need(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w; apt-get install --no-install-recommends %s", err, remedies[program])
	}
	return path, nil
}

// output runs a program and returns what it wrote; an error has the complaint.
func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	path, err := need(program)
	if err != nil {
		return "", err
	}
	var complaint strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Stderr = dir, &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}
