package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// lookup asks the servers of /etc/resolv.conf for what args[0] says about the
// name args[1], and tells the sorted answers.
func lookup(args []string) (string, error) {
	var list []string
	var err error
	switch kind, name := args[0], args[1]; kind {
	case "host":
		list, err = net.LookupHost(name)
	case "alias":
		var target string
		target, err = net.LookupCNAME(name)
		list = []string{target}
	case "address":
		list, err = net.LookupAddr(name)
	case "service": // name is as _http._tcp.web
		var found []*net.SRV
		_, found, err = net.DefaultResolver.LookupSRV(context.Background(), "", "", name)
		for _, s := range found {
			list = append(list, fmt.Sprintf("%s:%d", s.Target, s.Port))
		}
	}
	var failed *net.DNSError
	if errors.As(err, &failed) {
		return failed.Err, nil
	}
	slices.Sort(list)
	return strings.Join(list, " "), err
}
