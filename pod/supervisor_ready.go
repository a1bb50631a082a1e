package pod

import (
	"github.com/peapod/peapod/cgroups"
	"github.com/peapod/peapod/namespaces"
	"github.com/peapod/peapod/networks"
)

// readied is a pod that is as good as it can be known before anything is made.
type readied struct {
	pod      *Pod
	resolved []*Resolved
	ids      *namespaces.IDMaps
	home     *cgroups.Home
	network  networks.Spec
	options  *Options
	from     *handed // the place of a pod that has ended, or nil
}

func ready(p *Pod, o *Options) (r *readied, err error) {
	r = &readied{options: o}
	if r.pod, r.resolved, r.ids, err = prepare(p, o); err != nil {
		return nil, err
	}
	if r.home, err = r.pod.findHome(r.resolved); err != nil {
		return nil, err
	}
	r.network, err = r.pod.chooseNetwork(o.Network)
	return r, err
}
