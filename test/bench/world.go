package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/simulator"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// setLabel says which members an app of the benchmark is for.
const setLabel = "bench.example.com/set"

// setting is what scenarios need of a fleet.
type setting struct {
	mode fleet.Mode
	// tenanted: the members are namespaces, many on each cluster.
	tenanted bool
}

// world is a fleet and all that the scenarios have in common.
type world struct {
	options
	setting
	fleet   *fleet.Fleet
	hub     *fleet.Cluster
	members []member
	metrics *metricsReader
	// driver asks the hub's API server as an administrator, past the proxy.
	driver    dynamic.Interface
	simulator *simulator.Simulator
	stop      context.CancelFunc
	started   time.Time
	spaces    int
	profiles  int
}

// member is a MemberCluster that gets apps.
type member struct {
	name    string
	cluster *fleet.Cluster
	// namespace is where its objects are; empty: in that of their app.
	namespace string
}

// place is where an app's Deployment is on the member's cluster.
func (m member) place(app types.NamespacedName) types.NamespacedName {
	if m.namespace != "" {
		app.Namespace = m.namespace
	}
	return app
}

// join makes the members: the clusters, or namespaces of them in turn.
func (w *world) join(ctx context.Context) error {
	clusters := w.clusters()
	if !w.tenanted {
		for _, c := range clusters {
			w.members = append(w.members, member{name: c.Name(), cluster: c})
		}
		return nil
	}
	group, grouped := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for i := range w.tenants {
		m := member{name: fmt.Sprintf("tenant-%d", i), cluster: clusters[i%len(clusters)], namespace: fmt.Sprintf("tenant-%d", i)}
		w.members = append(w.members, m)
		group.Go(func() error {
			return w.fleet.AddTenant(grouped, fleet.TenantConfig{
				Name: m.name, Cluster: m.cluster.Name(), Namespace: m.namespace, Mode: w.mode, Labels: map[string]string{setLabel: "whole"},
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return w.waitConnected(ctx, w.members)
}

// waitConnected waits until the hub can work with the members.
func (w *world) waitConnected(ctx context.Context, members []member) error {
	return eventually(ctx, catchUp, "the members to be connected", func(ctx context.Context) (bool, error) {
		for _, m := range members {
			if ready, err := w.isConnected(ctx, m.name); !ready || err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// clusters are those of the members, each once.
func (w *world) clusters() []*fleet.Cluster {
	return slices.DeleteFunc(w.fleet.Clusters(), func(c *fleet.Cluster) bool { return c == w.hub })
}

func newWorld(ctx context.Context, o options, s setting) (w *world, err error) {
	w = &world{options: o, setting: s, started: time.Now(), simulator: &simulator.Simulator{Selector: v1.LabelManagedBy + "=" + v1.ManagedBy}}
	cfg := fleet.Config{Dir: filepath.Join(o.out, "fleet"), Fsync: true, Progress: os.Stderr, HubArgs: o.hubArgs(), HubEnv: o.hubEnv()}
	for i := range o.members {
		cfg.Members = append(cfg.Members, fleet.MemberConfig{
			Name: fmt.Sprintf("m-%d", i), Mode: s.mode, Bare: true, Unjoined: s.tenanted, Labels: map[string]string{setLabel: "whole"},
		})
	}
	if w.fleet, err = fleet.Up(ctx, cfg); err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(ctx)
	w.stop = stop
	if err := w.prepare(ctx, life); err != nil {
		return nil, errors.Join(err, w.close(false))
	}
	return w, nil
}

// prepare makes what all scenarios need; the simulator lives as long as life.
func (w *world) prepare(ctx, life context.Context) (err error) {
	w.hub = w.fleet.Cluster(fleet.HubName)
	if w.driver, err = dynamic.NewForConfig(w.hub.Admin()); err != nil {
		return err
	}
	if err := w.join(ctx); err != nil {
		return err
	}
	for _, c := range w.clusters() {
		if err := w.simulator.Start(life, c.Name(), c.Admin()); err != nil {
			return err
		}
	}
	if w.metrics, err = newMetricsReader(ctx, w.fleet); err != nil {
		return err
	}
	return installFloor(ctx, w)
}

// close stops everything. The fleet's files stay for whoever looks for what went
// wrong.
func (w *world) close(clean bool) error {
	w.stop()
	errs := w.simulator.Wait()
	errs = append(errs, w.fleet.Down())
	if clean {
		errs = append(errs, os.RemoveAll(filepath.Join(w.out, "fleet")))
	}
	return errors.Join(errs...)
}

// say reports progress.
func (w *world) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(w.started).Seconds(), fmt.Sprintf(format, args...))
}

// space makes a new namespace everywhere: nobody's clock runs yet.
func (w *world) space(ctx context.Context) (string, error) {
	w.spaces++
	name := fmt.Sprintf("run-%d", w.spaces)
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range w.fleet.Clusters() {
		group.Go(func() error {
			return c.Apply(ctx, object("v1", "Namespace", "", name, nil))
		})
	}
	return name, group.Wait()
}

// object is an object with what else it has, beside its name.
func object(apiVersion, kind, namespace, name string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	for key, value := range content {
		u.Object[key] = value
	}
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// eventually tries until it succeeds, fails for another reason than that it is
// too early, or the time is over.
func eventually(ctx context.Context, limit time.Duration, what string, try func(context.Context) (bool, error)) error {
	return eventuallyEvery(ctx, limit, 20*time.Millisecond, what, try)
}

func eventuallyEvery(ctx context.Context, limit, interval time.Duration, what string, try func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		done, err := try(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}
