package cgroups

// FreezePath is the directory of the group in the hierarchy that freezes it: of
// v1's freezer, or the unified one; "" where there is neither.
func (g *Group) FreezePath() string {
	if l := g.host.find("freezer"); l != nil {
		return l.dir + g.path
	}
	if g.host.unified != "" {
		return g.host.unified + g.path
	}
	return ""
}
