package networks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
)

// record is what has to be undone for a pod.
type record struct {
	Mode Mode `json:"mode"`
	// Bridge is the one that the link belongs to.
	Bridge string `json:"bridge,omitempty"`
	// Link is the pod's on the host, if it has one.
	Link string `json:"link,omitempty"`
	// Hardware is the link's own address, by which it is told from another
	// pod's of that name.
	Hardware  []byte         `json:"hardware,omitempty"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	CNI       *cniRecord     `json:"cni,omitempty"`
}

// parseRecord reads a record. One that was not written to its end, since its
// writer died, is as good as none: what it is about was not made yet.
func parseRecord(data []byte) (*record, error) {
	r := &record{}
	if len(data) == 0 || data[len(data)-1] != '\n' {
		return r, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%w record: %w", ErrInvalid, err)
	}
	if r.Link != "" && !plainName(r.Link, 15) {
		return nil, fmt.Errorf("%w record: %q is no name of a link", ErrInvalid, r.Link)
	}
	if r.Bridge != "" && !plainName(r.Bridge, maxBridge) {
		return nil, fmt.Errorf("%w record: %q is no name of a bridge", ErrInvalid, r.Bridge)
	}
	if r.CNI != nil {
		if err := r.CNI.check(); err != nil {
			return nil, fmt.Errorf("%w record: %w", ErrInvalid, err)
		}
	}
	return r, nil
}

// writeTo replaces what is in the file, which stays the one that is locked.
func (r *record) writeTo(f *os.File) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(append(data, '\n'), 0)
	return err
}
