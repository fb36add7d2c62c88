package fleet

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cluster is a control plane of the fleet: the hub's or a member's.
type Cluster struct {
	name   string
	dir    string // certificates, audit log and the like
	config string // the admin's kubeconfig
	member MemberConfig
	ca     *authority
	// serving issues the API server's certificate: ca, until RotateCA.
	serving *authority
	// trust is what verifies the API server, PEM-encoded.
	trust  []byte
	admin  *rest.Config
	client client.Client
	api    *Process
	proxy  *Proxy
	faults *Faults // nil without Config.Faults
	etcd   *etcd   // its own; nil if it shares the fleet's
	// controllers are what works on it with a kubeconfig of its own.
	controllers []*Process
}

// Name of the cluster; the hub's is "hub".
func (c *Cluster) Name() string { return c.name }

// Member is what the cluster was configured with; empty but for the name on the hub.
func (c *Cluster) Member() MemberConfig { return c.member }

// Admin may do everything. It goes straight to the API server, past the proxy
// and its partitions, and is not throttled. The copy is the caller's.
func (c *Cluster) Admin() *rest.Config { return rest.CopyConfig(c.admin) }

// AdminViaProxy is Admin through the proxy: it suffers partitions as the hub does.
func (c *Cluster) AdminViaProxy() *rest.Config {
	cfg := c.Admin()
	cfg.Host = c.ProxyURL()
	return cfg
}

// Client is an uncached client with the rights of Admin.
func (c *Cluster) Client() client.Client { return c.client }

// URL of the API server itself.
func (c *Cluster) URL() string { return c.admin.Host }

// ProxyURL is the URL of the proxy, which the hub and the agents use.
func (c *Cluster) ProxyURL() string { return "https://" + c.proxy.Addr() }

// Kubeconfig is the path of the admin's kubeconfig, straight to the API server.
func (c *Cluster) Kubeconfig() string { return c.config }

// APIServer is the process of the API server.
func (c *Cluster) APIServer() *Process { return c.api }

// Crash kills the API server. Connections break and new ones are refused.
func (c *Cluster) Crash() error {
	if err := c.api.Kill(); err != nil {
		return fmt.Errorf("crashing %s: %w", c.name, err)
	}
	return nil
}

// Restart starts the API server on its old port, after killing it if it runs,
// waits until it is ready and starts the cluster's controllers anew: those that
// were left without it ask again only once a minute.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.kill(); err != nil {
		return fmt.Errorf("restarting %s: %w", c.name, err)
	}
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("restarting %s: %w", c.name, err)
	}
	return nil
}

// start starts the API server and then the controllers.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.api.startReady(ctx); err != nil {
		return err
	}
	for _, p := range c.controllers {
		if err := p.Start(); err != nil {
			return err
		}
	}
	return nil
}

// kill kills the API server and the controllers.
func (c *Cluster) kill() error {
	var group errgroup.Group
	group.Go(c.api.Kill)
	for _, p := range c.controllers {
		group.Go(p.Kill)
	}
	return group.Wait()
}

// Partition cuts the cluster off from the hub and the agents: connections stay
// open and new ones are accepted, but not a byte passes.
func (c *Cluster) Partition() { c.proxy.Partition() }

// Heal ends the partition; what was held back arrives.
func (c *Cluster) Heal() { c.proxy.Heal() }

// Partitioned says whether the cluster is cut off.
func (c *Cluster) Partitioned() bool { return c.proxy.Partitioned() }

// Token asks the API server for a token of a ServiceAccount that lives for ttl,
// at least ten minutes.
func (c *Cluster) Token(ctx context.Context, namespace, serviceAccount string, ttl time.Duration) (string, error) {
	seconds := int64(ttl.Seconds())
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: serviceAccount}}
	if err := c.client.SubResource("token").Create(ctx, sa, req); err != nil {
		return "", fmt.Errorf("token for ServiceAccount %s/%s on %s: %w", namespace, serviceAccount, c.name, err)
	}
	return req.Status.Token, nil
}

// ConfigFor is a rest.Config for the bearer of a token.
func (c *Cluster) ConfigFor(token string, viaProxy bool) *rest.Config {
	host := c.URL()
	if viaProxy {
		host = c.ProxyURL()
	}
	return &rest.Config{
		Host: host, BearerToken: token, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.trust},
	}
}

// KubeconfigFor is a kubeconfig for the bearer of a token, everything inline.
func (c *Cluster) KubeconfigFor(token string, viaProxy bool) ([]byte, error) {
	return kubeconfig(c.name, c.ConfigFor(token, viaProxy))
}

func (c *Cluster) path(file string) string { return filepath.Join(c.dir, file) }

// Break resets the connections of the hub and the agents; new ones are served.
func (c *Cluster) Break() { c.proxy.Break() }
