package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEndpointHeader has endpoints that are told who the client is, before what
// it says.
func TestEndpointHeader(t *testing.T) {
	for version := range 3 {
		addr := server(t, copyBack)
		var j journal
		p := &Proxy{}
		j.attach(p)
		pool := NewPool(PoolOptions{})
		pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort(addr), Header: version}})
		f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		c := connect(t, f.Addr())
		io.WriteString(c, "hello")
		c.CloseWrite()
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if version != 0 {
			h, length, err := ParseHeader(got)
			if err != nil {
				t.Fatalf("version %d: %v", version, err)
			}
			if h.Source.String() != c.LocalAddr().String() || h.Destination.String() != c.RemoteAddr().String() {
				t.Errorf("version %d: %+v for %s to %s", version, h, c.LocalAddr(), c.RemoteAddr())
			}
			if is1 := got[0] == 'P'; is1 != (version == 1) {
				t.Errorf("version %d: the header is %q", version, got[:length])
			}
			n = length
		}
		if string(got[n:]) != "hello" {
			t.Errorf("version %d: got %q", version, got)
		}
		if e := j.ended(t, 1)[0]; e.In != 5 || e.Out != int64(5+n) {
			t.Errorf("version %d: %d bytes in, %d out", version, e.In, e.Out)
		}
	}
}

// TestEndpointHeaderLed has clients whose connections are led to another address than
// they were made to.
func TestEndpointHeaderLed(t *testing.T) {
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort(server(t, copyBack)), Header: 2}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := netip.MustParseAddrPort("127.96.1.1:80")
	p := &Proxy{}
	defer p.Close()
	f, err := p.Serve(t.Context(), &LedListener{l.(*net.TCPListener), to}, pool)
	if err != nil {
		t.Fatal(err)
	}
	if f.Addr().String() != to.String() {
		t.Errorf("the front is called %s", f.Addr())
	}
	c := connect(t, l.Addr())
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if h, _, err := ParseHeader(got); err != nil || h.Destination != to || h.Source.String() != c.LocalAddr().String() {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestEndpointTransparent needs no privilege for clients of loopback addresses.
func TestEndpointTransparent(t *testing.T) {
	addr := server(t, func(c *net.TCPConn) { io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String()) })
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort(addr), Transparent: true}})
	p := &Proxy{}
	defer p.Close()
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"127.0.0.1", "127.1.2.3"} {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", f.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); string(got) != ip || err != nil {
			t.Errorf("got %q for %s, %v", got, ip, err)
		}
		c.Close()
	}
}

// TestEndpointTransparentFails where client and endpoint are of different families: the
// client is turned away, not passed off as somebody else.
func TestEndpointTransparentFails(t *testing.T) {
	var j journal
	p := &Proxy{}
	j.attach(p)
	defer p.Close()
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort("[::1]:1"), Transparent: true}})
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	if err := wantReset(t, f.Addr()); err != nil {
		t.Error(err)
	}
	if e := j.ended(t, 1)[0]; e.Err == nil || errors.Is(e.Err, unix.ECONNREFUSED) {
		t.Errorf("event: %v", e.Err)
	}
}

// TestClientHeader has clients that are proxies themselves.
func TestClientHeader(t *testing.T) {
	var j journal
	p := &Proxy{ClientHeader: true}
	j.attach(p)
	pool := NewPool(PoolOptions{})
	pool.Set([]Endpoint{{ID: "a", Addr: netip.MustParseAddrPort(server(t, copyBack)), Header: 1}})
	f, err := p.Forward(t.Context(), "127.0.0.1:0", pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	h := Header{Source: netip.MustParseAddrPort("192.0.2.7:1234"), Destination: netip.MustParseAddrPort("192.0.2.8:80")}
	for name, header := range map[string][]byte{"1": h.AppendV1(nil), "2": h.AppendV2(nil)} {
		for _, inPieces := range []bool{false, true} {
			c := connect(t, f.Addr())
			whole := append(header[:len(header):len(header)], "hello"...)
			if !inPieces {
				c.Write(whole)
			}
			for i := range whole {
				if inPieces {
					c.Write(whole[i : i+1])
				}
			}
			c.CloseWrite()
			got, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			seen, n, err := ParseHeader(got)
			if err != nil || seen.Source != h.Source || string(got[n:]) != "hello" {
				t.Errorf("version %s: %q, %+v, %v", name, got, seen, err)
			}
			j.mu.Lock()
			j.closed = nil
			j.mu.Unlock()
		}
	}
}

func TestClientHeaderRefused(t *testing.T) {
	var j journal
	p := &Proxy{ClientHeader: true}
	j.attach(p)
	f := forward(t, p, server(t, copyBack))
	for name, send := range map[string]func(c *net.TCPConn){
		"none":      func(c *net.TCPConn) { io.WriteString(c, "GET / HTTP/1.1\r\n\r\n") },
		"half":      func(c *net.TCPConn) { io.WriteString(c, "PROXY TCP4 192"); c.CloseWrite() },
		"end":       func(c *net.TCPConn) { c.CloseWrite() },
		"too late":  func(c *net.TCPConn) { io.WriteString(c, "PROX") },
		"malformed": func(c *net.TCPConn) { io.WriteString(c, "PROXY TCP4 1 2 3 4\r\n") },
	} {
		c := connect(t, f.Addr())
		send(c)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		e := j.ended(t, 1)[0]
		if !errors.Is(e.Err, ErrHeader) && !errors.Is(e.Err, ErrHeaderShort) || e.Endpoint != "" {
			t.Errorf("%s: %+v", name, e)
		}
		j.mu.Lock()
		j.closed = nil
		j.mu.Unlock()
	}
}
