package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// readerAccount is the ServiceAccount that may read the hub's metrics.
const readerAccount = "bench-metrics"

// scrapeTimeout bounds one reading of a /metrics page.
const scrapeTimeout = 10 * time.Second

// metricsReader reads the metrics of the hub's process. It keeps no connection,
// for a process that was restarted has lost it.
type metricsReader struct {
	fleet  *fleet.Fleet
	client *http.Client
	token  string
}

func newMetricsReader(ctx context.Context, f *fleet.Fleet) (*metricsReader, error) {
	hub := f.Cluster(fleet.HubName)
	account := object("v1", "ServiceAccount", fleet.HubNamespace, readerAccount, nil)
	role := object("rbac.authorization.k8s.io/v1", "ClusterRole", "", readerAccount, map[string]any{
		"rules": []any{map[string]any{"nonResourceURLs": []any{"/metrics"}, "verbs": []any{"get"}}},
	})
	if err := hub.Apply(ctx, account, role, bind(readerAccount, readerAccount, "")); err != nil {
		return nil, err
	}
	token, err := hub.Token(ctx, fleet.HubNamespace, readerAccount, tokenTTL)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(hub.Admin().CAData)
	return &metricsReader{fleet: f, token: token, client: scraper(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})}, nil
}

func scraper(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: scrapeTimeout}
}

// hub reads the metrics of the hub's process.
func (r *metricsReader) hub(ctx context.Context) (meter.Metrics, error) {
	m, err := scrape(ctx, r.client, "https://"+r.fleet.Hub().MetricsAddr+"/metrics", r.token)
	if err != nil {
		return nil, fmt.Errorf("reading the hub's metrics: %w", err)
	}
	return m, nil
}

func scrape(ctx context.Context, client *http.Client, url, token string) (meter.Metrics, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return meter.ParseMetrics(resp.Body)
}

// fsyncs is etcd's histogram of how long writing through to the disk took.
const fsyncs = "etcd_disk_wal_fsync_duration_seconds"

var etcdURL = regexp.MustCompile(`--advertise-client-urls=(\S+)`)

// etcd reads the metrics of etcd, with the API servers' own credential.
func (r *metricsReader) etcd(ctx context.Context) (meter.Metrics, error) {
	found := etcdURL.FindStringSubmatch(fleet.CommandLine(r.fleet.Process("etcd").Pid()))
	if found == nil {
		return nil, errors.New("reading etcd's metrics: its command line does not say where it listens")
	}
	dir := filepath.Join(r.fleet.Dir(), "etcd")
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "etcd.crt"), filepath.Join(dir, "etcd.key"))
	if err != nil {
		return nil, fmt.Errorf("reading etcd's metrics: %w", err)
	}
	ca, err := caPool(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading etcd's metrics: %w", err)
	}
	m, err := scrape(ctx, scraper(&tls.Config{RootCAs: ca, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}), found[1]+"/metrics", "")
	if err != nil {
		return nil, fmt.Errorf("reading etcd's metrics: %w", err)
	}
	return m, nil
}

func caPool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", path)
	}
	return pool, nil
}
