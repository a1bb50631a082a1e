package pod

import "testing"

// The numbers are Kubernetes': maxSurge is rounded up, maxUnavailable down, and
// one of them is never 0.
func TestRollingBounds(t *testing.T) {
	share := func(n int, percent bool) *Share { return &Share{n, percent} }
	port := Container{Ports: []Port{{HostPort: 80}}}
	for _, tt := range []struct {
		replicas           int
		surge, unavailable *Share
		container          Container
		want               [2]int
	}{
		{1, nil, nil, Container{}, [2]int{1, 0}},
		{3, nil, nil, Container{}, [2]int{1, 0}},
		{4, nil, nil, Container{}, [2]int{1, 1}},
		{10, nil, nil, Container{}, [2]int{3, 2}},
		{10, share(0, false), nil, Container{}, [2]int{0, 2}},
		{3, share(0, true), share(10, true), Container{}, [2]int{0, 1}},
		{3, share(2, false), share(7, false), Container{}, [2]int{2, 3}},
		{3, share(200, true), share(0, false), Container{}, [2]int{6, 0}},
		{1, share(5, false), nil, port, [2]int{0, 1}},
	} {
		d := &Deployment{Spec: DeploymentSpec{Replicas: &tt.replicas, Strategy: DeploymentStrategy{RollingUpdate: &RollingUpdate{tt.unavailable, tt.surge}}}}
		d.Spec.Template.Spec.Containers = []Container{tt.container}
		if surge, unavailable := d.bounds(); [2]int{surge, unavailable} != tt.want {
			t.Errorf("%d replicas, maxSurge %v, maxUnavailable %v: %d and %d, want %v", tt.replicas, tt.surge, tt.unavailable, surge, unavailable, tt.want)
		}
	}
}
