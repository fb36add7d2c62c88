package members

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// dialTimeout bounds the TCP dial and, again, the TLS handshake.
	dialTimeout = 5 * time.Second
	// pingAfter is how long a connection may be silent before it is pinged, and
	// how long the answer may take. Together they bound how long a peer that
	// died without a word goes unnoticed while no request is made.
	pingAfter = 5 * time.Second
)

var errTransportClosed = errors.New("the connection to the member has ended")

// transport is the HTTP client of one session and the TCP connections under it.
//
// client-go's transport cache is not used: connections in it are shared by
// configuration and cannot be ended. Here close ends all of them at once and
// permanently, so that nobody who still holds the client can revive them.
type transport struct {
	client *http.Client
	base   *http.Transport
	ctx    context.Context
	cancel context.CancelFunc
	// lost is told of every connection that was not closed by close. It must
	// not block.
	lost func()

	mu     sync.Mutex
	closed bool
	conns  map[*trackedConn]struct{}
}

// newTransport makes the client for cfg. tlsConfig is cloned: net/http adds
// protocols to the one it is given.
//
// Redirects are not followed: the credential would go with them. The proxy, if
// any, is that of the hub's environment, which is the administrator's.
func newTransport(cfg *rest.Config, tlsConfig *tls.Config, lost func(), refuse func(message string)) (*transport, error) {
	t := &transport{lost: lost, conns: map[*trackedConn]struct{}{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.base = &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         t.dial,
		TLSClientConfig:     tlsConfig.Clone(),
		TLSHandshakeTimeout: dialTimeout,
		DisableCompression:  cfg.DisableCompression,
		IdleConnTimeout:     90 * time.Second,
		// Without it net/http stays with HTTP/1.1 whenever the dialer or the
		// TLS configuration is not its own.
		ForceAttemptHTTP2: true,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter},
	}
	wrapped, err := rest.HTTPWrappersForConfig(cfg, newFrugal(t.base, refuse))
	if err != nil {
		t.cancel()
		return nil, err
	}
	t.client = &http.Client{
		Transport:     wrapped,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return t, nil
}

func (t *transport) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, owner: t}
	if !t.add(tracked) {
		_ = conn.Close()
		return nil, errTransportClosed
	}
	return tracked, nil
}

// close ends every connection now, also one that is being dialled or in the
// middle of a request, and lets no new one be made.
func (t *transport) close() {
	t.mu.Lock()
	t.closed = true
	conns := t.conns
	t.conns = map[*trackedConn]struct{}{}
	t.mu.Unlock()

	t.cancel()
	for conn := range conns {
		_ = conn.Conn.Close()
	}
	t.base.CloseIdleConnections()
}

func (t *transport) add(conn *trackedConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.conns[conn] = struct{}{}
	return true
}

func (t *transport) remove(conn *trackedConn) {
	t.mu.Lock()
	_, open := t.conns[conn]
	delete(t.conns, conn)
	t.mu.Unlock()
	if open {
		t.lost()
	}
}

// open is the number of TCP connections.
func (t *transport) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.conns)
}

// trackedConn tells its transport when it is closed. That happens when net/http
// gives the connection up: the peer closed it, a ping was not answered, or it
// was idle.
type trackedConn struct {
	net.Conn
	owner *transport
}

func (c *trackedConn) Close() error {
	c.owner.remove(c)
	return c.Conn.Close()
}
