package fleet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Proxy passes TCP connections on to one backend, and can stop passing anything
// at all, as a network does that has been cut: connections stay open, new ones
// are accepted, and no byte arrives.
type Proxy struct {
	listener net.Listener
	backend  string
	serving  sync.WaitGroup

	mu          sync.Mutex
	changed     *sync.Cond // partitioned, closed or writing has changed
	partitioned bool
	closed      bool
	writing     int // writes under way
	conns       map[net.Conn]struct{}
}

// NewProxy listens on a free port of 127.0.0.1 and passes connections on to
// backend (host:port), which need not be there yet.
func NewProxy(backend string) (*Proxy, error) {
	var p *Proxy
	err := withPorts(1, func(ports []int) error {
		l, err := net.Listen("tcp", loopback(ports[0]))
		if err != nil {
			return errors.Join(errPortTaken, err)
		}
		p = &Proxy{listener: l, backend: backend, conns: map[net.Conn]struct{}{}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.changed = sync.NewCond(&p.mu)
	p.serving.Go(p.accept)
	return p, nil
}

// Addr is the host:port the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Partition stops the traffic. When it returns, no byte passes any more.
func (p *Proxy) Partition() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partitioned = true
	// A write may hang because its reader does not read; the deadline ends it.
	for c := range p.conns {
		_ = c.SetWriteDeadline(time.Unix(1, 0)) // fails for a closed connection only
	}
	for p.writing > 0 {
		p.changed.Wait()
	}
}

// Heal lets the traffic flow again, beginning with the bytes that were held back.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.SetWriteDeadline(time.Time{}) // fails for a closed connection only
	}
	p.partitioned = false
	p.changed.Broadcast()
}

// Break resets all connections; new ones are served. It is not for a partition.
func (p *Proxy) Break() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the peer may be gone
		}
		_ = c.Close() // the peer may be gone
	}
}

// Partitioned says whether the traffic is stopped.
func (p *Proxy) Partitioned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.partitioned
}

// Close drops all connections, partitioned or not, and waits until every
// goroutine of the proxy has ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close() // the peer may have closed it first
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	err := p.listener.Close()
	p.serving.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		switch {
		case err == nil:
			p.serving.Go(func() { p.serve(client) })
		case errors.Is(err, net.ErrClosed):
			return
		default: // out of file descriptors, or a connection that was reset in the queue
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// serve joins a client to the backend until both directions have ended.
func (p *Proxy) serve(client net.Conn) {
	if !p.track(client) {
		return
	}
	defer p.drop(client)
	if !p.enter() {
		return
	}
	server, err := net.Dial("tcp", p.backend)
	p.leave()
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNABORTED) {
		p.reset(client) // the backend was faster than our dialling
		return
	}
	if err != nil || !p.track(server) {
		return
	}
	defer p.drop(server)
	var up sync.WaitGroup
	up.Go(func() { p.pass(server, client) })
	p.pass(client, server)
	up.Wait()
}

// pass copies src to dst until src ends, and passes the end on as well.
func (p *Proxy) pass(dst, src net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && !p.write(dst, buf[:n]) {
			// dst is broken: src must notice, and the other direction must end.
			p.hangUp(src, dst)
			return
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			p.closeWrite(dst)
			return
		case errors.Is(err, syscall.ECONNRESET):
			p.hangUp(src)
			p.reset(dst)
			return
		default:
			p.hangUp(src, dst)
			return
		}
	}
}

// write writes b, waiting out partitions; false means that dst is broken.
func (p *Proxy) write(dst net.Conn, b []byte) bool {
	for len(b) > 0 {
		if !p.enter() {
			return false
		}
		n, err := dst.Write(b)
		p.leave()
		b = b[n:]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
	return true
}

func (p *Proxy) closeWrite(dst net.Conn) {
	if !p.enter() {
		return
	}
	defer p.leave()
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the peer may be gone
	}
}

func (p *Proxy) hangUp(conns ...net.Conn) {
	if !p.enter() {
		return
	}
	defer p.leave()
	for _, c := range conns {
		_ = c.Close() // the peer may be gone
	}
}

// reset passes a reset on as one.
func (p *Proxy) reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the peer may be gone
	}
	p.hangUp(c)
}

// enter waits until traffic may pass; every true is followed by leave. False
// means that the proxy is closed.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.partitioned && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return false
	}
	p.writing++
	return true
}

func (p *Proxy) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing--
	p.changed.Broadcast()
}

func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close() // nothing was sent on it
		return false
	}
	if p.partitioned {
		_ = c.SetWriteDeadline(time.Unix(1, 0)) // as for those that Partition has seen
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close() // may have been closed already
}
