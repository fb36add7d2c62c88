package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// etcd is a process of etcd and what is needed to use it.
type etcd struct {
	etcdAccess
	dataDir string
	peerURL string
	util    string // the path of etcdutl
	process *Process
	client  *http.Client
}

// startEtcd starts an etcd under a name: the one that API servers share, each
// under a prefix of its own, or the hub's own.
func (f *Fleet) startEtcd(ctx context.Context, name string) (*etcd, error) {
	dir := filepath.Join(f.cfg.Dir, name)
	e := &etcd{
		etcdAccess: etcdAccess{
			ca: filepath.Join(dir, "ca.crt"), cert: filepath.Join(dir, "etcd.crt"), key: filepath.Join(dir, "etcd.key"),
		},
		dataDir: filepath.Join(dir, "data"),
		util:    f.bin.Path(etcdutl),
	}
	var err error
	if e.client, err = etcdCredentials(dir, e.etcdAccess); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer e.client.CloseIdleConnections()
	err = withPorts(2, func(ports []int) error {
		e.url, e.peerURL = "https://"+loopback(ports[0]), "https://"+loopback(ports[1])
		e.process = f.newProcess(name, "etcd", etcdArgs(e, f.cfg.Fsync))
		e.process.ready = httpReady(e.client, e.url+"/readyz")
		return e.process.startReady(ctx)
	})
	if err != nil {
		return nil, err
	}
	f.say(name, "ready")
	return e, nil
}

// etcdCredentials writes the certificates, and returns a client that uses them.
func etcdCredentials(dir string, access etcdAccess) (*http.Client, error) {
	ca, err := newAuthority("etcd")
	if err != nil {
		return nil, err
	}
	pair, err := ca.server("etcd")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files := map[string][]byte{access.ca: ca.pem, access.cert: pair.cert, access.key: pair.key}
	if err := writeFiles(files); err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}}, nil
}

// httpReady is a readiness check: a GET that is answered with 200.
func httpReady(client *http.Client, url string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		return nil
	}
}

// writeFiles writes files that only their owner may read.
func writeFiles(files map[string][]byte) error {
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
