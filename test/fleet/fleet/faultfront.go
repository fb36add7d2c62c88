package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// front is the server of Faults: it ends TLS with a certificate of the cluster's
// authority and passes requests on, credentials and all, to the API server,
// whose certificate it verifies.
//
// Of client certificates it knows the administrator's only, and shows that of
// its own accord; others end here, as at any proxy.
type front struct {
	listener net.Listener
	server   *http.Server
	backend  *url.URL
	admin    []byte // the administrator's certificate
	asAdmin  *http.Transport
	asBearer *http.Transport
	closing  chan struct{}
	serving  sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// connKey holds a connection in the context of its requests.
type connKey struct{}

// newFaults starts a proxy of HTTP to the cluster's API server (host:port), which
// need not be there yet.
func newFaults(c *Cluster, backend, logPath string) (*Faults, error) {
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	f := &Faults{
		cluster: c.name, exempt: Leases, injected: Injected{}, watches: map[*http.Request]context.CancelFunc{},
		log: log.New(logFile, "", log.LstdFlags|log.Lmicroseconds), logFile: logFile,
	}
	if f.front, err = newFront(c, backend); err != nil {
		return nil, errors.Join(fmt.Errorf("proxy of HTTP: %w", err), logFile.Close())
	}
	f.front.serve(f, f.log)
	return f, nil
}

func newFront(c *Cluster, backend string) (*front, error) {
	pair, err := c.ca.server("kube-apiserver")
	if err != nil {
		return nil, err
	}
	serving, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, err
	}
	admin, err := tls.X509KeyPair(c.admin.CertData, c.admin.KeyData)
	if err != nil {
		return nil, err
	}
	p := &front{
		backend:  &url.URL{Scheme: "https", Host: backend},
		admin:    admin.Certificate[0],
		asAdmin:  frontTransport(c.ca, admin),
		asBearer: frontTransport(c.ca),
		closing:  make(chan struct{}),
	}
	p.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{serving}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12,
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}
	return p, withPorts(1, func(ports []int) (err error) {
		if p.listener, err = net.Listen("tcp", loopback(ports[0])); err != nil {
			return errors.Join(errPortTaken, err)
		}
		return nil
	})
}

func frontTransport(ca *authority, certs ...tls.Certificate) *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: certs, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
}

func (p *front) serve(handler http.Handler, errorLog *log.Logger) {
	p.server.Handler, p.server.ErrorLog = handler, errorLog
	p.serving.Go(func() {
		if err := p.server.ServeTLS(p.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			errorLog.Printf("the proxy ended: %v", err)
		}
	})
}

// enter is followed by leave if it is true; false means that the proxy is closed.
func (p *front) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.serving.Add(1)
	}
	return !p.closed
}

func (p *front) leave() { p.serving.Done() }

func (p *front) close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		close(p.closing)
	}
	err := p.server.Close()
	p.serving.Wait()
	p.asAdmin.CloseIdleConnections()
	p.asBearer.CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// forward passes a request on and its answer back, byte by byte: a watch must not
// wait for a buffer to fill. An API server that cannot be reached is what it
// would be without the proxy: a connection that ends.
func (p *front) forward(w http.ResponseWriter, r *http.Request, e edit) {
	ctx, cancel := e.context(r.Context())
	defer cancel()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(out *httputil.ProxyRequest) {
			out.SetURL(p.backend)
			if e.request != nil {
				e.request(out.Out)
			}
		},
		Transport:      p.transport(r),
		FlushInterval:  -1,
		ErrorLog:       p.server.ErrorLog,
		ModifyResponse: e.response,
		ErrorHandler: func(_ http.ResponseWriter, in *http.Request, _ error) {
			if in.Context().Err() != nil { // the client has left, or the edit ended it
				panic(http.ErrAbortHandler)
			}
			hangUp(in)
		},
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

func (p *front) transport(r *http.Request) *http.Transport {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && bytes.Equal(r.TLS.PeerCertificates[0].Raw, p.admin) {
		return p.asAdmin
	}
	return p.asBearer
}

// hangUp resets the connection that a request came on, and ends its handler.
func hangUp(r *http.Request) {
	if conn, ok := r.Context().Value(connKey{}).(*tls.Conn); ok {
		if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the client may have left
			_ = tcp.Close()
		}
	}
	panic(http.ErrAbortHandler)
}
