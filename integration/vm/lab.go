package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// lab is one run of this program.
type lab struct {
	*options
	root  string // of the module
	tmp   string
	cache *cache
	built builds
	out   sync.Mutex // of lines to the terminal
}

func newLab(root string, o *options) (*lab, error) {
	c, err := newCache()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "peapod-vm-")
	if err != nil {
		return nil, err
	}
	return &lab{options: o, root: root, tmp: tmp, cache: c, built: builds{root: root, dir: filepath.Join(tmp, "build")}}, nil
}

// atATime is how many machines run beside each other: their emulated processors
// are threads of this host's.
const atATime = 2

// all boots the machines and prints what came of them.
func (l *lab) all(ctx context.Context, list []machine) error {
	results := make([][]result, len(list))
	turns := make(chan struct{}, atATime)
	var wg sync.WaitGroup
	for i, m := range list {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			results[i] = l.one(ctx, m)
		})
	}
	wg.Wait()
	var all []result
	for _, r := range results {
		all = append(all, r...)
	}
	printTable(os.Stdout, all)
	for _, r := range all {
		if !r.ok() {
			return fmt.Errorf("%s: %s", r.machine, r.verdict())
		}
	}
	return ctx.Err()
}

// one boots a machine and has it run its suites.
func (l *lab) one(ctx context.Context, m machine) []result {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	list, err := suitesOf(l.root, m)
	list = choose(list, l.pkg, l.run)
	w := newWatch(l, m, list)
	var cmd *start
	if err == nil {
		cmd, err = l.prepare(ctx, m, list)
	}
	if err == nil {
		err = w.watch(ctx, cmd)
	}
	return w.results(err)
}

// shell gives the terminal to a machine.
func (l *lab) shell(ctx context.Context, m machine) error {
	list, err := suitesOf(l.root, m)
	if err != nil {
		return err
	}
	cmd, err := l.prepare(ctx, m, choose(list, l.pkg, l.run))
	if err != nil {
		return err
	}
	return cmd.interactive(ctx)
}

// say writes lines to the terminal, each behind the machine's name.
func (l *lab) say(m machine, text string) {
	l.out.Lock()
	defer l.out.Unlock()
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		fmt.Printf("%s: %s", m.name, line)
	}
}
