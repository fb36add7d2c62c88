package kindfleet

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// helmTimeout is how long what a chart installs may take to be ready.
const helmTimeout = 3 * time.Minute

// Heartbeat is the time between two signs of life of agents. It is shorter than by default:
// that long, and as long again, a silence of a Pull member takes to be noticed.
const Heartbeat = 10 * time.Second

// Names of the charts' releases on clusters.
const (
	HubRelease   = "myapp-hub"
	AgentRelease = "myapp-agent"
)

// Helm runs helm on a cluster, in the hub's namespace.
func (f *Fleet) Helm(ctx context.Context, cluster string, args ...string) (string, error) {
	args = append(args, "--kubeconfig", f.kubeconfigPath(cluster), "--namespace", fleet.HubNamespace)
	cmd := exec.CommandContext(ctx, f.tool("helm"), args...) //nolint:gosec // the helm that was built here
	cmd.Env = append(os.Environ(), "HOME="+f.cfg.Dir)
	return output(cmd)
}

// install installs a chart of a release on a cluster, or upgrades to it.
func (f *Fleet) install(ctx context.Context, cluster, name, chart string, r *Release, values ...string) error {
	args := []string{
		"upgrade", "--install", name, filepath.Join(r.charts, chart), "--create-namespace", "--wait", "--timeout=" + helmTimeout.String(),
		"--set=image.tag=" + r.Version, "--set=logging.verbosity=1",
	}
	for _, value := range values {
		args = append(args, "--set="+value)
	}
	if _, err := f.Helm(ctx, cluster, args...); err != nil {
		return fmt.Errorf("installing chart %s on %s: %w", chart, cluster, err)
	}
	f.say(cluster, "installed "+chart+" "+r.Version)
	return nil
}

// InstallHub installs the hub of a release, or upgrades to it.
func (f *Fleet) InstallHub(ctx context.Context, r *Release) error {
	return f.install(ctx, fleet.HubName, HubRelease, "hub", r)
}

// InstallAgent installs the agent of a release on a member, or upgrades to it.
func (f *Fleet) InstallAgent(ctx context.Context, member string, r *Release) error {
	return f.install(ctx, member, AgentRelease, "agent", r, "member="+member, "extraArgs={--heartbeat-interval="+Heartbeat.String()+"}")
}

// Upgrade gives all clusters the images of a release, and upgrades the hub and then the
// agents to it.
func (f *Fleet) Upgrade(ctx context.Context, r *Release) error {
	for _, name := range f.names() {
		if err := f.load(ctx, name, r.images()...); err != nil {
			return err
		}
	}
	if err := f.InstallHub(ctx, r); err != nil {
		return err
	}
	for _, m := range f.cfg.Members {
		if m.Mode != v1.ModePull {
			continue
		}
		if err := f.InstallAgent(ctx, m.Name, r); err != nil {
			return err
		}
	}
	return nil
}

// Plugin runs kubectl myapp, with the kubeconfig of a cluster.
func (f *Fleet) Plugin(ctx context.Context, cluster string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, f.tool("kubectl-myapp"), append(args, "--kubeconfig", f.kubeconfigPath(cluster))...)) //nolint:gosec // the plugin that was built here
}

// join has a cluster join, as its user would do it.
func (f *Fleet) join(ctx context.Context, m Member, r *Release) error {
	if m.Mode == v1.ModePush {
		_, err := f.Plugin(ctx, m.Name, "join", "--mode=push", m.Name, "--hub-kubeconfig="+f.kubeconfigPath(fleet.HubName),
			"--server="+internalURL(m.Name), "--labels="+labels(m))
		if err != nil {
			return err
		}
		return f.awaitReady(ctx, m.Name)
	}
	printed, err := f.Plugin(ctx, fleet.HubName, "token", "create", m.Name, "--server="+internalURL(fleet.HubName), "--labels="+labels(m))
	if err != nil {
		return err
	}
	line := strings.Fields(strings.TrimSpace(printed)) // kubectl myapp join --token TOKEN
	if len(line) != 5 || line[2] != "join" {
		return fmt.Errorf("token create printed %d words, not a command", len(line))
	}
	if _, err := f.Plugin(ctx, m.Name, append(line[2:], "--secret-only")...); err != nil {
		return err
	}
	// An agent that is not accepted yet is ready: it has a sign of life.
	if err := f.InstallAgent(ctx, m.Name, r); err != nil {
		return err
	}
	if _, err := f.Plugin(ctx, fleet.HubName, "accept", m.Name); err != nil {
		return err
	}
	return f.awaitReady(ctx, m.Name)
}

func labels(m Member) string {
	var out []string
	for k, v := range m.Labels {
		out = append(out, k+"="+v)
	}
	return strings.Join(out, ",")
}

// Environment is that of a person who has the plugin, Helm and kubectl, and a kubeconfig
// with a context for each cluster, under whose address other clusters reach it, too.
func (f *Fleet) Environment(ctx context.Context) ([]string, error) {
	merged := api.NewConfig()
	for _, name := range f.names() {
		config, err := clientcmd.LoadFromFile(f.kubeconfigPath(name))
		if err != nil {
			return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
		}
		address, err := f.docker.address(ctx, node(name))
		if err != nil {
			return nil, err
		}
		kind := config.Contexts[config.CurrentContext]
		merged.Clusters[name] = config.Clusters[kind.Cluster]
		merged.Clusters[name].Server = "https://" + address + ":6443"
		merged.AuthInfos[name] = config.AuthInfos[kind.AuthInfo]
		merged.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	}
	file := filepath.Join(f.cfg.Dir, "person.kubeconfig")
	if err := clientcmd.WriteToFile(*merged, file); err != nil {
		return nil, err
	}
	path := strings.Join([]string{filepath.Dir(f.tool("helm")), filepath.Join(f.cfg.Root, "bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
	return append(os.Environ(), "KUBECONFIG="+file, "PATH="+path, "HOME="+f.cfg.Dir), nil
}

// awaitReady waits until the hub finds a member ready.
func (f *Fleet) awaitReady(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		var mc v1.MemberCluster
		err := f.Client(fleet.HubName).Get(ctx, types.NamespacedName{Name: member}, &mc)
		ready := meta.FindStatusCondition(mc.Status.Conditions, v1.ConditionReady)
		if err == nil && ready != nil && ready.Status == metav1.ConditionTrue {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("member %s did not become ready: %+v (%w)", member, ready, err)
		case <-time.After(time.Second):
		}
	}
}
