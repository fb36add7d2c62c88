package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

// startHub brings up the hub's cluster, what is installed on it, and the
// controllers; it calls installed between the two.
func (f *Fleet) startHub(ctx context.Context, slot *slot, installed func()) error {
	c, err := f.startCluster(ctx, MemberConfig{Name: HubName}, slot)
	if err != nil {
		return err
	}
	for _, files := range []string{f.deploy("crds", "*.yaml"), f.deploy("rbac", "hub.yaml")} {
		if err := c.applyFiles(ctx, files); err != nil {
			return fmt.Errorf("installing the hub: %w", err)
		}
	}
	f.say(c.name, "CRDs and RBAC installed")
	if err := c.writeTokenKubeconfig(ctx, f.HubKubeconfig(), HubNamespace, hubAccount); err != nil {
		return fmt.Errorf("installing the hub: %w", err)
	}
	installed()
	if f.cfg.NoControllers {
		return nil
	}
	if _, err := f.startHubProcess(ctx, HubProcess); err != nil {
		return err
	}
	f.say(HubProcess, "ready")
	return nil
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
	certs, err := f.metricsCertificate()
	if err != nil {
		return nil, err
	}
	err = withPorts(2, func(ports []int) error {
		metrics, health := loopback(ports[0]), loopback(ports[1])
		p = f.newProcess(name, "hub", hubArgs(hubParams{
			kubeconfig: f.HubKubeconfig(), metricsAddr: metrics, metricsCerts: certs, healthAddr: health, extra: f.cfg.HubArgs,
		}))
		p.MetricsAddr, p.HealthAddr = metrics, health
		p.ready = httpReady(http.DefaultClient, "http://"+health+"/readyz")
		return p.startReady(ctx)
	})
	return p, err
}

// metricsCertificate makes the directory of the certificate of the hub's
// metrics, issued by the authority of the hub's cluster.
func (f *Fleet) metricsCertificate() (dir string, err error) {
	pair, err := f.Cluster(HubName).ca.server(HubProcess)
	if err != nil {
		return "", err
	}
	dir = filepath.Join(f.cfg.Dir, "hub-metrics")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("certificate of the hub's metrics: %w", err)
	}
	return dir, writeFiles(map[string][]byte{
		filepath.Join(dir, "tls.crt"): pair.cert,
		filepath.Join(dir, "tls.key"): pair.key,
	})
}

func (f *Fleet) startAgent(ctx context.Context, member, hubKubeconfig, kubeconfig string) error {
	return withPorts(1, func(ports []int) error {
		health := loopback(ports[0])
		p := f.newProcess(AgentProcess(member), "agent", agentArgs(agentParams{
			member: member, hubKubeconfig: hubKubeconfig, kubeconfig: kubeconfig, healthAddr: health, extra: f.cfg.AgentArgs,
		}))
		p.HealthAddr = health
		p.ready = httpReady(http.DefaultClient, "http://"+health+"/readyz")
		return p.startReady(ctx)
	})
}
