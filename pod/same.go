package pod

import (
	"bytes"
	"encoding/json"
	"path/filepath"
)

// same tells whether two pods would run alike: all that their specs say is equal,
// and what they refer to by relative paths.
func (p *Pod) same(as *Pod) bool {
	return sameJSON(p, as) && filepath.Clean(p.Dir) == filepath.Clean(as.Dir)
}

func sameJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
