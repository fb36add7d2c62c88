package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Directories of what the hub serves with.
const (
	webhookCertificate = "hub-webhook"
	metricsCertificate = "hub-metrics"
)

// startHub brings up the hub's cluster, what is installed on it, and the
// controllers; it calls installed between the two.
func (f *Fleet) startHub(ctx context.Context, slot *slot, installed func()) error {
	c, err := f.startCluster(ctx, MemberConfig{Name: HubName}, slot)
	if err != nil {
		return err
	}
	for _, files := range []string{f.deploy("crds", "*.yaml"), f.deploy("rbac", "hub.yaml"), f.deploy("admission", "*.yaml")} {
		if err := c.applyFiles(ctx, files); err != nil {
			return fmt.Errorf("installing the hub: %w", err)
		}
	}
	if err := c.applyEndpoint(ctx); err != nil {
		return fmt.Errorf("installing the hub: %w", err)
	}
	f.say(c.name, "CRDs, RBAC and admission policies installed")
	if err := c.writeTokenKubeconfig(ctx, f.HubKubeconfig(), HubNamespace, hubAccount); err != nil {
		return fmt.Errorf("installing the hub: %w", err)
	}
	installed()
	if f.cfg.NoControllers {
		return nil
	}
	p, err := f.startHubProcess(ctx, HubProcess)
	if err != nil {
		return err
	}
	f.say(HubProcess, "ready")
	if !f.cfg.Webhook {
		return nil
	}
	return c.installWebhook(ctx, p.WebhookAddr)
}

// applyEndpoint says how agents reach the hub: through its proxy.
func (c *Cluster) applyEndpoint(ctx context.Context) error {
	o, err := toUnstructured(&corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: HubNamespace, Name: v1.HubConfigMap, Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy},
		},
		Data: map[string]string{v1.HubServer: c.ProxyURL(), v1.HubCA: string(c.trust)},
	})
	if err != nil {
		return err
	}
	return c.Apply(ctx, o)
}

// HubKubeconfig is the path of the kubeconfig that the hub's controllers use:
// their ServiceAccount, through the proxy.
func (f *Fleet) HubKubeconfig() string { return filepath.Join(f.cfg.Dir, HubProcess+".kubeconfig") }

// StartHubStandby starts a second process of the hub's controllers, which waits
// for the leader's lease.
func (f *Fleet) StartHubStandby(ctx context.Context) (*Process, error) {
	if f.cfg.NoControllers {
		return nil, errors.New("fleet: a standby hub was asked for in a fleet without controllers")
	}
	return f.startHubProcess(ctx, StandbyProcess)
}

func (f *Fleet) startHubProcess(ctx context.Context, name string) (p *Process, err error) {
	params := hubParams{kubeconfig: f.HubKubeconfig(), extra: f.cfg.HubArgs}
	if params.metricsCerts, err = f.hubCertificate(metricsCertificate); err != nil {
		return nil, err
	}
	if f.cfg.Webhook {
		if params.webhookCerts, err = f.hubCertificate(webhookCertificate); err != nil {
			return nil, err
		}
	}
	err = withPorts(3, func(ports []int) error {
		params.metricsAddr, params.healthAddr = loopback(ports[0]), loopback(ports[1])
		if f.cfg.Webhook {
			params.webhookAddr = loopback(ports[2])
		}
		p = f.newProcess(name, "hub", hubArgs(params))
		p.env = f.cfg.HubEnv
		p.MetricsAddr, p.HealthAddr, p.WebhookAddr = params.metricsAddr, params.healthAddr, params.webhookAddr
		p.ready = httpReady(http.DefaultClient, "http://"+p.HealthAddr+"/readyz")
		return p.startReady(ctx)
	})
	return p, err
}

// hubCertificate makes a directory with a certificate for the hub to serve with,
// issued by the authority of the hub's cluster.
func (f *Fleet) hubCertificate(name string) (dir string, err error) {
	pair, err := f.Cluster(HubName).ca.server(HubProcess)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(f.cfg.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("certificate %s: %w", name, err)
	}
	return dir, writeFiles(map[string][]byte{
		filepath.Join(dir, "tls.crt"): pair.cert,
		filepath.Join(dir, "tls.key"): pair.key,
	})
}

func (f *Fleet) startAgent(ctx context.Context, params agentParams) error {
	return withPorts(2, func(ports []int) error {
		params.healthAddr = loopback(ports[0])
		if f.cfg.AgentMetrics {
			params.metricsAddr = loopback(ports[1])
		}
		p := f.newProcess(AgentProcess(params.member), "agent", agentArgs(params))
		p.HealthAddr, p.MetricsAddr, p.env = params.healthAddr, params.metricsAddr, params.Env
		p.ready = httpReady(http.DefaultClient, "http://"+p.HealthAddr+"/readyz")
		return p.startReady(ctx)
	})
}

// RenewHubCertificates gives the hub new certificates to serve its webhook and its
// metrics with, as whoever issues them does long before the old ones end.
func (f *Fleet) RenewHubCertificates() error {
	for _, name := range []string{webhookCertificate, metricsCertificate} {
		if _, err := f.hubCertificate(name); err != nil {
			return err
		}
	}
	return nil
}
