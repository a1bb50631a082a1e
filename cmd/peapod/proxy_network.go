package main

import (
	"os"

	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/proxy"
)

// network is a network namespace in which backends are.
type network struct {
	file    *os.File
	sockets proxy.Sockets // made inside
}

// openNetwork returns the namespace at path: had, which that path led to
// before, if it still is the same one.
func openNetwork(path string, had *network) (*network, error) {
	file, err := namespaces.Open(namespaces.Network, path)
	if err != nil {
		return nil, err
	}
	if had != nil {
		if same, err := namespaces.Same(file, had.file); err == nil && same {
			file.Close()
			return had, nil
		}
	}
	n := &network{file: file}
	n.sockets.Make = func(domain, typ, count int) ([]int, error) {
		return namespaces.Sockets(file, domain, typ, 0, count)
	}
	return n, nil
}

func (n *network) close() {
	n.sockets.Close()
	n.file.Close()
}
