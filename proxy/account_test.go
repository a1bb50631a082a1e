package proxy

import (
	"io"
	"testing"

	"github.com/peapod/peapod/internal/testkit"
)

// The bytes of an open connection are counted when somebody asks, once.
func TestSettle(t *testing.T) {
	pool, p := to(server(t, copyBack)), &Proxy{}
	p.Settle() // nothing runs yet
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var other Proxy
	g, err := other.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	c, d := connect(t, f.Addr()), connect(t, g.Addr())
	talk(t, c)
	talk(t, d)
	bytes := func() (in, out int64) { s := pool.Endpoints()[0]; return s.In, s.Out }
	if in, out := bytes(); in != 0 || out != 0 {
		t.Errorf("counted before it was asked for: %d, %d", in, out)
	}
	for range 2 {
		p.Settle()
		if in, out := bytes(); in != 4 || out != 4 {
			t.Errorf("in %d, out %d; want 4, 4: of one proxy, once", in, out)
		}
	}
	talk(t, c)
	c.CloseWrite()
	io.Copy(io.Discard, c)
	testkit.Eventually(t, "the end is counted", func() bool { in, out := bytes(); return in == 8 && out == 8 })
	p.Close()
	p.Settle()
	if in, out := bytes(); in != 8 || out != 8 {
		t.Errorf("at the end: in %d, out %d", in, out)
	}
}
