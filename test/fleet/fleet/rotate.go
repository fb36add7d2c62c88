package fleet

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trustFile has the certificates of those who may issue the API server's.
const trustFile = "trust.crt"

// rotationTimeout is ample for an API server to notice its new certificate, which it
// looks at when the file changes and every minute.
const rotationTimeout = 90 * time.Second

// TrustNextCA makes a second certificate authority for a cluster and lets everybody
// trust both, the old one and the new: the files that processes read, the fleet's own
// clients, and what the hub and the agents are told. The authority of client
// certificates stays.
func (f *Fleet) TrustNextCA(ctx context.Context, cluster string) error {
	c := f.Cluster(cluster)
	next, err := newAuthority(cluster + "-next")
	if err != nil {
		return err
	}
	c.serving = next
	return f.setTrust(ctx, c, bytes.Join([][]byte{c.trust, next.pem}, nil))
}

// ServeByNextCA makes the API server of a cluster show a certificate of the authority
// that TrustNextCA has made, and breaks the connections that have seen another.
func (f *Fleet) ServeByNextCA(ctx context.Context, cluster string) error {
	c := f.Cluster(cluster)
	pair, err := c.serving.server("kube-apiserver")
	if err != nil {
		return err
	}
	if err := writeFiles(map[string][]byte{c.path("apiserver.crt"): pair.cert, c.path("apiserver.key"): pair.key}); err != nil {
		return err
	}
	trusting, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{CAData: c.serving.pem}})
	if err != nil {
		return err
	}
	defer trusting.CloseIdleConnections()
	if err := poll(ctx, rotationTimeout, readyPoll, httpReady(trusting, c.URL()+"/readyz")); err != nil {
		return fmt.Errorf("waiting for %s to show its new certificate: %w", cluster, err)
	}
	c.proxy.Break()
	return nil
}

// ForgetOldCA ends the trust in every authority of a cluster but the last.
func (f *Fleet) ForgetOldCA(ctx context.Context, cluster string) error {
	c := f.Cluster(cluster)
	return f.setTrust(ctx, c, c.serving.pem)
}

func (f *Fleet) setTrust(ctx context.Context, c *Cluster, trust []byte) error {
	c.trust = trust
	if err := writeFiles(map[string][]byte{c.path(trustFile): trust}); err != nil {
		return err
	}
	c.admin = c.Admin()
	c.admin.CAData = trust
	httpClient, err := rest.HTTPClientFor(c.admin)
	if err != nil {
		return err
	}
	c.api.ready = httpReady(httpClient, c.URL()+"/readyz")
	if c.client, err = client.New(c.admin, client.Options{Scheme: f.cfg.Scheme}); err != nil {
		return err
	}
	if err := writeKubeconfig(c.config, c.name, c.admin); err != nil {
		return err
	}
	switch {
	case c.name == HubName:
		return c.applyEndpoint(ctx)
	case c.member.Mode == ModePush:
		secret, err := newcomer{MemberConfig: c.member, cluster: c}.credential(ctx, pushAccount)
		if err != nil {
			return err
		}
		return f.Cluster(HubName).Apply(ctx, secret)
	default:
		return nil // the agent reads the file when it starts
	}
}

// IssueTokensAs gives the API server of a cluster another issuer for the tokens of
// ServiceAccounts, which it accepts beside the one of before, and restarts it.
func (f *Fleet) IssueTokensAs(ctx context.Context, cluster, issuer string) error {
	c := f.Cluster(cluster)
	// The first one that is named issues.
	c.api.args = append([]string{"--service-account-issuer=" + issuer}, c.api.args...)
	if err := c.api.Restart(ctx); err != nil {
		return fmt.Errorf("restarting the API server of %s with another issuer: %w", cluster, err)
	}
	return nil
}
