package main

import (
	"context"
	"fmt"
	"os"

	"github.com/peapod/peapod/internal/cli"
	"github.com/peapod/peapod/runtime"
	"golang.org/x/sys/unix"
)

func (p *peapod) checkpointCommand() *cli.Command {
	return &cli.Command{
		Name:      "checkpoint",
		Usage:     "save a running container's processes, and end it",
		ArgsUsage: "ID",
		Description: `criu, which has to be installed, writes the processes to the image path. The
container is deleted then, unless it is left running. "peapod restore" makes it
anew from the images. Files of its root are not saved.

Example: peapod checkpoint --image-path /var/tmp/web1 web1`,
		Flags: append(criuFlags(), []cli.Flag{
			{Name: "leave-running", Usage: "let the container go on afterwards"},
			{Name: "pre-dump", Usage: "save memory only, and let the container go on"},
			{Kind: cli.String, Name: "parent-path", Usage: "save only what has changed since the pre-dump in `DIR`, relative to the image path"},
			{Name: "tcp-skip-in-flight", Usage: "leave connections out that are not established yet"},
			{Name: "link-remap", Usage: "give deleted files names again where they need one"},
			{Kind: cli.String, Name: "page-server", Usage: "send memory to the criu page-server at `ADDRESS:PORT`"},
			{Kind: cli.Int, Name: "status-fd", Value: "-1", DefaultText: "none", Usage: "write a byte 0 to descriptor `FD` when memory can be asked for (--lazy-pages)"},
		}...),
		Action: p.checkpoint,
	}
}

// criuFlags are those of checkpoint and restore.
func criuFlags() []cli.Flag {
	return []cli.Flag{
		{Kind: cli.String, Name: "image-path", Value: "checkpoint", Usage: "the `DIR` of the images", DefaultText: "checkpoint, in the working directory"},
		{Kind: cli.String, Name: "work-path", Usage: "the `DIR` of criu's log and statistics", DefaultText: "the image path"},
		{Name: "tcp-established", Usage: "take open TCP connections along"},
		{Name: "ext-unix-sk", Usage: "allow unix sockets whose other end is outside"},
		{Name: "shell-job", Usage: "allow a terminal that is not the container's own"},
		{Name: "file-locks", Usage: "take file locks along"},
		{Name: "lazy-pages", Usage: "bring memory when it is needed (criu lazy-pages)"},
		{Name: "auto-dedup", Usage: "remove from images what later ones have too"},
		{Kind: cli.String, Name: "manage-cgroups-mode", Usage: "how limits of groups inside are kept: `MODE` soft, full, strict or ignore", DefaultText: "soft",
			Choices: []string{"soft", "full", "strict", "ignore"}},
		{Kind: cli.Strings, Name: "empty-ns", Hidden: true}, // runc's, for what is always so
	}
}

// criuOptions are what criuFlags say.
func criuOptions(c *cli.Context) (o runtime.CRIU, err error) {
	for _, ns := range c.Strings("empty-ns") {
		if ns != "network" {
			return o, fmt.Errorf("--empty-ns %q: give network", ns)
		}
	}
	return runtime.CRIU{
		Program:        c.String("criu"),
		ImagePath:      c.String("image-path"),
		WorkPath:       c.String("work-path"),
		TCPEstablished: c.Bool("tcp-established"),
		ExternalUnix:   c.Bool("ext-unix-sk"),
		ShellJob:       c.Bool("shell-job"),
		FileLocks:      c.Bool("file-locks"),
		LazyPages:      c.Bool("lazy-pages"),
		AutoDedup:      c.Bool("auto-dedup"),
		ManageCgroups:  c.String("manage-cgroups-mode"),
	}, nil
}

func (p *peapod) checkpoint(c *cli.Context) error {
	if err := c.NeedArgs(1, 1); err != nil {
		return err
	}
	o := &runtime.CheckpointOptions{
		ParentPath:   c.String("parent-path"),
		PreDump:      c.Bool("pre-dump"),
		LeaveRunning: c.Bool("leave-running"),
		SkipInFlight: c.Bool("tcp-skip-in-flight"),
		LinkRemap:    c.Bool("link-remap"),
		PageServer:   c.String("page-server"),
	}
	var err error
	if o.CRIU, err = criuOptions(c); err != nil {
		return err
	}
	if n := c.Int("status-fd"); n >= 0 {
		flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
			return fmt.Errorf("--status-fd %d: give a descriptor that is open for writing", n)
		}
		o.Status = os.NewFile(uintptr(n), "--status-fd")
		defer o.Status.Close()
	}
	container, err := p.load(c)
	if err != nil {
		return err
	}
	p.log.Debug("save the container's processes", "id", container.ID(), "images", o.ImagePath)
	if err := container.Checkpoint(c.Context, o); err != nil || o.LeaveRunning || o.PreDump {
		return err
	}
	return container.Delete(context.WithoutCancel(c.Context), true)
}
