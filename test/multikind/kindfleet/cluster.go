package kindfleet

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
)

// createTimeout is how long a cluster may take to be ready.
const createTimeout = 4 * time.Minute

// Cluster is a kind cluster of one node: the hub's or a member's.
type Cluster struct {
	name, kubeconfig string
	client           client.Client
}

// node is the container of a cluster's node, by whose name other clusters reach it.
func node(name string) string { return Prefix + name + "-control-plane" }

// internalURL is how other clusters reach the API server of one.
func internalURL(name string) string { return "https://" + node(name) + ":6443" }

// create makes a cluster and gives it the images of a release and of the apps.
func (f *Fleet) create(ctx context.Context, name string, r *Release) error {
	options := []cluster.CreateOption{
		cluster.CreateWithWaitForReady(createTimeout), cluster.CreateWithKubeconfigPath(f.kubeconfigPath(name)),
		cluster.CreateWithRetain(true), cluster.CreateWithDisplayUsage(false), cluster.CreateWithDisplaySalutation(false),
	}
	if f.cfg.NodeImage != "" {
		options = append(options, cluster.CreateWithNodeImage(f.cfg.NodeImage))
	}
	// kind has no other way to say it.
	if err := os.Setenv(networkVariable, network); err != nil {
		return err
	}
	if err := f.kind.Create(Prefix+name, options...); err != nil {
		return fmt.Errorf("creating the kind cluster of %s: %w", name, err)
	}
	c, err := connect(name, f.kubeconfigPath(name))
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.clusters[name] = c
	f.mu.Unlock()
	f.say(name, "created")
	if err := f.load(ctx, name, append(r.images(), f.webImages()...)...); err != nil {
		return err
	}
	// What docs/install.md has its readers run; nothing here reaches a registry.
	return f.docker.do(ctx, "exec", node(name), "ctr", "--namespace=k8s.io", "images", "tag", "docker.io/"+WebImage(First), "docker.io/library/"+PublicImage)
}

// connect makes a client with all rights.
func connect(name, kubeconfig string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
	}
	config.QPS = -1
	config.Timeout = 20 * time.Second // a paused node answers nothing
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", name, err)
	}
	return &Cluster{name: name, kubeconfig: kubeconfig, client: c}, nil
}

// load gives the node of a cluster images from archives.
func (f *Fleet) load(ctx context.Context, name string, archives ...string) error {
	nodes, err := f.kind.ListInternalNodes(Prefix + name)
	if err != nil {
		return fmt.Errorf("listing the nodes of %s: %w", name, err)
	}
	for _, archive := range archives {
		for _, n := range nodes {
			if err := loadOne(n.String(), archive, func(file *os.File) error { return nodeutils.LoadImageArchive(n, file) }); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func loadOne(node, archive string, load func(*os.File) error) error {
	file, err := os.Open(archive) //nolint:gosec // built here
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	if err := load(file); err != nil {
		return fmt.Errorf("loading %s into %s: %w", archive, node, err)
	}
	return nil
}

// Resident is the resident memory of the only process of a program on a cluster's node, in
// bytes: "/hub" or "/agent".
func (f *Fleet) Resident(ctx context.Context, cluster, program string) (int64, error) {
	script := fmt.Sprintf(`for p in /proc/[0-9]*; do [ "$(tr '\0' '\n' <$p/cmdline 2>/dev/null | head -n 1)" = %s ] && awk '/^VmRSS/ {print $2}' $p/status; done; true`, program)
	out, err := f.docker.run(ctx, "exec", node(cluster), "bash", "-c", script)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(out)
	if len(fields) != 1 {
		return 0, fmt.Errorf("%d processes of %s on %s, want one", len(fields), program, cluster)
	}
	var kib int64
	if _, err := fmt.Sscan(fields[0], &kib); err != nil {
		return 0, fmt.Errorf("the memory of %s on %s: %w", program, cluster, err)
	}
	return kib << 10, nil
}
