package kindfleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kind/pkg/cluster"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Prefix is what the names of all clusters in Docker begin with.
const Prefix = "myapp-multikind-"

// Logs is the directory, in that of a fleet, with the logs that were collected.
const Logs = "logs"

// Member is a member cluster that is to be made.
type Member struct {
	Name   string
	Mode   v1.Mode
	Labels map[string]string
}

// Config says what a fleet is made of.
type Config struct {
	// Root is the repository, and Dir where kubeconfigs, images and logs go. Required.
	Root, Dir string
	// Members join the hub. Required.
	Members []Member
	// NodeImage is that of all nodes. Default: kind's own, from a registry.
	NodeImage string
	// From is the release that is installed first, to be upgraded from. Default: that of
	// the repository as it is.
	From *Release
	// Progress is told what happens. Required.
	Progress io.Writer
}

// Fleet is a hub and its members, running.
type Fleet struct {
	cfg     Config
	kind    *cluster.Provider
	docker  docker
	started time.Time
	// Current is the release that is built from the repository as it is.
	Current *Release

	mu       sync.Mutex
	clusters map[string]*Cluster
}

// Up makes the clusters, installs the hub and has the members join. If that fails, logs
// are collected and what was made is taken down again.
func Up(ctx context.Context, cfg Config) (*Fleet, error) {
	f := newFleet(cfg)
	if err := Check(ctx); err != nil {
		return nil, err
	}
	if err := f.up(ctx); err != nil {
		// The way down is gone also when somebody has lost patience with the way up.
		end := context.WithoutCancel(ctx)
		logs := f.CollectLogs(end)
		return nil, errors.Join(fmt.Errorf("%w\nlogs are in %s", err, logs), f.Down(end))
	}
	f.say("fleet", "ready")
	return f, nil
}

// Check says why no fleet can be made: there is no Docker, or there is a fleet already.
func Check(ctx context.Context) error {
	var d docker
	if err := d.check(ctx); err != nil {
		return err
	}
	left, err := d.left(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("a fleet of kind clusters is there already, or what is left of one (%s): end it with make multikind-down", strings.Join(left, ", "))
	}
	return nil
}

func newFleet(cfg Config) *Fleet {
	return &Fleet{
		cfg: cfg, kind: cluster.NewProvider(cluster.ProviderWithDocker()),
		started: time.Now(), clusters: map[string]*Cluster{},
	}
}

func (f *Fleet) up(ctx context.Context) error {
	if err := f.buildTools(ctx); err != nil {
		return err
	}
	var err error
	if f.Current, err = f.build(ctx, f.cfg.Root, ""); err != nil {
		return err
	}
	if err := f.buildWeb(ctx); err != nil {
		return err
	}
	first := f.Current
	if f.cfg.From != nil {
		first = f.cfg.From
	}
	if err := f.docker.createNetwork(ctx); err != nil {
		return err
	}
	group, creating := errgroup.WithContext(ctx)
	for _, name := range f.names() {
		group.Go(func() error { return f.create(creating, name, first) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := f.InstallHub(ctx, first); err != nil {
		return err
	}
	for _, m := range f.cfg.Members {
		if err := f.join(ctx, m, first); err != nil {
			return fmt.Errorf("joining %s: %w", m.Name, err)
		}
		f.say(m.Name, "joined, "+string(m.Mode))
	}
	return nil
}

// Down takes down what an earlier process has left running, of whatever members.
func Down(ctx context.Context, progress io.Writer) error {
	f := newFleet(Config{Progress: progress})
	if err := f.docker.check(ctx); err != nil {
		return err
	}
	return f.Down(ctx)
}

// names are those of all clusters.
func (f *Fleet) names() []string {
	names := []string{fleet.HubName}
	for _, m := range f.cfg.Members {
		names = append(names, m.Name)
	}
	return names
}

// Down deletes all clusters whose names begin with Prefix, and their network. There is one
// fleet at a time.
func (f *Fleet) Down(ctx context.Context) error {
	clusters, err := f.kind.List()
	if err != nil {
		return fmt.Errorf("listing the kind clusters: %w", err)
	}
	var errs []error
	for _, full := range clusters {
		name, ours := strings.CutPrefix(full, Prefix)
		if !ours {
			continue
		}
		f.docker.revive(ctx, node(name))
		if err := f.kind.Delete(full, f.kubeconfigPath(name)); err != nil {
			errs = append(errs, fmt.Errorf("deleting the kind cluster of %s: %w", name, err))
			continue
		}
		f.say(name, "deleted")
	}
	return errors.Join(append(errs, f.docker.removeNetwork(ctx))...)
}

// Left is what is in Docker of the fleet.
func (f *Fleet) Left(ctx context.Context) ([]string, error) { return f.docker.left(ctx) }

// CollectLogs writes what kind collects of all nodes, pods' logs included, and says where.
func (f *Fleet) CollectLogs(context.Context) string {
	dir := filepath.Join(f.cfg.Dir, Logs)
	for _, name := range f.names() {
		if err := f.kind.CollectLogs(Prefix+name, filepath.Join(dir, name)); err != nil {
			f.say(name, "not all logs could be collected: "+err.Error())
		}
	}
	return dir
}

// Cluster is the hub or a member, nil if there is none of that name.
func (f *Fleet) Cluster(name string) *Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clusters[name]
}

// Members are the names of all members, in order.
func (f *Fleet) Members() []string { return slices.Clone(f.names()[1:]) }

// Client has all rights on a cluster.
func (f *Fleet) Client(name string) client.Client { return f.Cluster(name).client }

// Kubeconfig is the path of a kubeconfig with all rights on a cluster.
func (f *Fleet) Kubeconfig(name string) string { return f.kubeconfigPath(name) }

func (f *Fleet) kubeconfigPath(name string) string {
	return filepath.Join(f.cfg.Dir, name+".kubeconfig")
}

// say reports a step.
func (f *Fleet) say(who, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// Progress is for people; a fleet does not fail for want of a reader.
	_, _ = fmt.Fprintf(f.cfg.Progress, "%6.1f s  %-8s %s\n", time.Since(f.started).Seconds(), who, what)
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme))
}

// NodeImage is the image of nodes that the environment asks for, empty for kind's own.
func NodeImage() string { return os.Getenv("KIND_NODE_IMAGE") }
