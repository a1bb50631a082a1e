package proxy

import (
	"io"
	"net"
	"testing"
)

// paths runs a benchmark against a server directly and through a proxy: the
// ratio tells, the figures depend on the machine, on which client, proxy and
// server share the cores.
func paths(b *testing.B, handle func(*net.TCPConn), run func(b *testing.B, addr string)) {
	addr := server(b, handle)
	f := forward(b, &Proxy{}, addr)
	b.Run("direct", func(b *testing.B) { run(b, addr) })
	b.Run("proxied", func(b *testing.B) { run(b, f.Addr().String()) })
}

// echoes answers with read and write, as a small server does.
func echoes(c *net.TCPConn) {
	for buf := make([]byte, 4096); ; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func dialBench(b *testing.B, addr string) *net.TCPConn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		b.FailNow()
	}
	return c.(*net.TCPConn)
}

// BenchmarkRequests sends 64 bytes and waits for 64 bytes, on 16 connections
// per core at once that are kept open.
func BenchmarkRequests(b *testing.B) {
	paths(b, echoes, func(b *testing.B, addr string) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			c := dialBench(b, addr)
			defer c.Close()
			for buf := make([]byte, 64); pb.Next(); {
				if _, err := c.Write(buf); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	})
}

// BenchmarkLatency is one connection that sends 64 bytes and waits for 64.
func BenchmarkLatency(b *testing.B) {
	paths(b, echoes, func(b *testing.B, addr string) {
		c := dialBench(b, addr)
		defer c.Close()
		for buf := make([]byte, 64); b.Loop(); {
			c.Write(buf)
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkConnections makes a connection for each request.
func BenchmarkConnections(b *testing.B) {
	paths(b, echoes, func(b *testing.B, addr string) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for buf := make([]byte, 64); pb.Next(); {
				c := dialBench(b, addr)
				c.Write(buf)
				_, err := io.ReadFull(c, buf)
				c.SetLinger(0) // no TIME_WAIT: ports would run out
				c.Close()
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "connections/s")
	})
}

// BenchmarkThroughput is one connection that receives as fast as it can.
func BenchmarkThroughput(b *testing.B) {
	const block = 256 << 10
	flood := func(c *net.TCPConn) {
		for buf := make([]byte, block); ; {
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}
	paths(b, flood, func(b *testing.B, addr string) {
		c := dialBench(b, addr)
		defer c.Close()
		b.SetBytes(block)
		for buf := make([]byte, block); b.Loop(); {
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
