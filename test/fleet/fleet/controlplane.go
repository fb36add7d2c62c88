package fleet

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Parts of a cluster, as they are called in the names of processes.
const (
	apiServer         = "apiserver"
	controllerManager = "controller-manager"
	scheduler         = "scheduler"
	kwok              = "kwok"
)

func processName(cluster, part string) string { return cluster + "-" + part }

// clusterProcesses are the names of all processes that a cluster may have.
func clusterProcesses(cluster string) []string {
	var out []string
	for _, part := range []string{apiServer, controllerManager, scheduler, kwok} {
		out = append(out, processName(cluster, part))
	}
	return out
}

//go:embed stages/stages.yaml
var stages embed.FS

// startCluster brings up a cluster's API server and proxy, and what belongs to
// it: on the hub a controller manager, on members a scheduler and nodes too.
// The slot is given back when the API server is ready.
func (f *Fleet) startCluster(ctx context.Context, m MemberConfig, slot *slot) (*Cluster, error) {
	defer slot.release()
	c, err := f.prepareCluster(m)
	if err != nil {
		return nil, fmt.Errorf("preparing %s: %w", m.Name, err)
	}
	if m.Name == HubName && f.cfg.HubEtcd {
		if c.etcd, err = f.startEtcd(ctx, hubEtcd); err != nil {
			return nil, err
		}
	}
	if err := f.startAPIServer(ctx, c); err != nil {
		return nil, fmt.Errorf("starting %s: %w", m.Name, err)
	}
	slot.release()
	f.say(c.name, "API server ready")
	f.addCluster(c)
	if m.Bare {
		return c, nil
	}
	if err := f.startControllers(ctx, c); err != nil {
		return nil, fmt.Errorf("starting the controllers of %s: %w", m.Name, err)
	}
	return c, nil
}

// prepareCluster makes the directory, the CA and the files that need no port.
func (f *Fleet) prepareCluster(m MemberConfig) (*Cluster, error) {
	c := &Cluster{
		name: m.Name, member: m,
		dir:    filepath.Join(f.cfg.Dir, "clusters", m.Name),
		config: filepath.Join(f.cfg.Dir, m.Name+".kubeconfig"),
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	if c.ca, err = newAuthority(m.Name); err != nil {
		return nil, err
	}
	c.serving, c.trust = c.ca, c.ca.pem
	serving, err := c.serving.server("kube-apiserver")
	if err != nil {
		return nil, err
	}
	tokens, err := issueKey()
	if err != nil {
		return nil, err
	}
	life, err := stages.ReadFile("stages/stages.yaml")
	if err != nil {
		return nil, err
	}
	return c, writeFiles(map[string][]byte{
		c.path("ca.crt"):            c.ca.pem,
		c.path(trustFile):           c.trust,
		c.path("apiserver.crt"):     serving.cert,
		c.path("apiserver.key"):     serving.key,
		c.path("sa.key"):            tokens,
		c.path("audit-policy.yaml"): []byte(auditPolicy),
		c.path("stages.yaml"):       life,
	})
}

func (f *Fleet) startAPIServer(ctx context.Context, c *Cluster) error {
	store := f.etcd
	if c.etcd != nil {
		store = c.etcd
	}
	return withPorts(1, func(ports []int) error {
		if err := f.connect(c, ports[0]); err != nil {
			return err
		}
		httpClient, err := rest.HTTPClientFor(c.admin)
		if err != nil {
			return err
		}
		c.api = f.newProcess(processName(c.name, apiServer), "kube-apiserver", apiServerArgs(c.name, c.dir, ports[0], store.etcdAccess))
		c.api.ready = httpReady(httpClient, c.URL()+"/readyz")
		return c.api.startReady(ctx)
	})
}

// connect makes the proxy and the credentials for an API server on a port.
func (f *Fleet) connect(c *Cluster, port int) error {
	if c.proxy != nil { // of a port that was taken
		if err := c.proxy.Close(); err != nil {
			return err
		}
	}
	if c.faults != nil {
		if err := c.faults.Close(); err != nil {
			return err
		}
	}
	var err error
	if c.admin, err = c.configOf("https://"+loopback(port), "fleet-admin", "system:masters"); err != nil {
		return err
	}
	if c.client, err = client.New(c.admin, client.Options{Scheme: f.cfg.Scheme}); err != nil {
		return err
	}
	if err := writeKubeconfig(c.config, c.name, c.admin); err != nil {
		return err
	}
	backend := loopback(port)
	if f.cfg.Faults {
		if c.faults, err = newFaults(c, backend, f.logPath(c.name+"-faults")); err != nil {
			return err
		}
		f.addProxy(c.faults)
		backend = c.faults.Addr()
	}
	if c.proxy, err = NewProxy(backend); err != nil {
		return err
	}
	f.addProxy(c.proxy)
	return nil
}

// configOf issues a client certificate and wraps it in a rest.Config.
func (c *Cluster) configOf(host, user string, groups ...string) (*rest.Config, error) {
	pair, err := c.ca.user(user, groups...)
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host: host, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.trust, CertData: pair.cert, KeyData: pair.key},
	}, nil
}

// component is a program that works on a cluster with a kubeconfig of its own.
type component struct {
	name, program string
	user          string
	groups        []string
	args          []string
}

func components(c *Cluster) []component {
	if c.name == HubName {
		return []component{{
			name: controllerManager, program: "kube-controller-manager",
			user: "system:kube-controller-manager", args: controllerManagerArgs(c.dir, hubControllers),
		}}
	}
	return []component{
		{
			name: controllerManager, program: "kube-controller-manager",
			user: "system:kube-controller-manager", args: controllerManagerArgs(c.dir, memberControllers),
		},
		{
			name: scheduler, program: "kube-scheduler",
			user: "system:kube-scheduler", args: schedulerArgs(c.dir),
		},
		{
			name: kwok, program: "kwok",
			user: "kwok", groups: []string{"system:masters"}, args: kwokArgs(c.dir),
		},
	}
}

func (f *Fleet) startControllers(ctx context.Context, c *Cluster) error {
	for _, part := range components(c) {
		cfg, err := c.configOf(c.URL(), part.user, part.groups...)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(c.path(part.name+".kubeconfig"), c.name, cfg); err != nil {
			return err
		}
		p := f.newProcess(processName(c.name, part.name), part.program, part.args)
		c.controllers = append(c.controllers, p)
		if err := p.Start(); err != nil {
			return err
		}
	}
	if c.name == HubName {
		return nil
	}
	if err := makeNodes(ctx, c.client); err != nil {
		return err
	}
	f.say(c.name, "nodes schedulable")
	return nil
}
