package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// marginal measures a hub that was just started: with the apps, without them, and
// with further members that have none. What it has to look at is all that differs.
func marginal(ctx context.Context, a *apps, run *report.Run) error {
	w, v := a.world, run.Values
	full, err := w.freshHub(ctx, a.n)
	if err != nil {
		return err
	}
	if err := a.clean(ctx); err != nil {
		return err
	}
	bare, err := w.freshHub(ctx, 0)
	if err != nil {
		return err
	}
	further, err := w.joinFurther(ctx)
	if err != nil {
		return err
	}
	members := w.members
	w.members = slices.Concat(members, further)
	more, err := w.freshHub(ctx, 0)
	w.members = members
	if err := errors.Join(err, w.part(ctx, further)); err != nil {
		return err
	}
	v[keyRSSBare], v[keyRSSMembers], v[keyRSSApps] = bare.rss/megabyte, more.rss/megabyte, full.rss/megabyte
	n := float64(len(further))
	v[keyMemberRSS] = (more.rss - bare.rss) / megabyte / n
	v[keyMemberConns] = (more.connections - bare.connections) / n
	v[keyMemberGoroutines] = (more.goroutines - bare.goroutines) / n
	v[keyObjectRSS] = (full.rss - bare.rss) / 1024 / float64(a.n*len(members)*objectsPerApp)
	return nil
}

// size is how large a hub is.
type size struct {
	rss                     float64 // bytes
	connections, goroutines float64
}

// freshHub restarts the hub and measures it once it has looked at everything.
func (w *world) freshHub(ctx context.Context, apps int) (s size, err error) {
	if _, err := w.restartHub(ctx); err != nil {
		return s, err
	}
	if err := errors.Join(w.converged(ctx, apps), quiet(ctx, settle)); err != nil {
		return s, err
	}
	pid := w.fleet.Hub().Pid()
	usage, err := meter.UsageOf(pid)
	if err != nil {
		return s, err
	}
	ports, err := meter.Connections(pid)
	if err != nil {
		return s, err
	}
	for _, c := range w.clusters() {
		port, err := proxyPort(c)
		if err != nil {
			return s, err
		}
		s.connections += float64(ports[port])
	}
	m, err := w.metrics.hub(ctx)
	s.rss, s.goroutines = float64(usage.RSS), m.Sum("go_goroutines")
	return s, err
}

// joinFurther makes further members, for which no app is, of the clusters that there are.
// To the hub each is a cluster of its own.
func (w *world) joinFurther(ctx context.Context) ([]member, error) {
	clusters := w.clusters()
	var further []member
	for i := range w.further {
		c := clusters[i%len(clusters)]
		further = append(further, member{name: fmt.Sprintf("further-%d", i), cluster: c})
	}
	group, grouped := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for _, m := range further {
		group.Go(func() error { return w.register(grouped, m) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return further, w.waitConnected(ctx, further)
}

// register makes a MemberCluster with the credential of the one that the cluster has
// already.
func (w *world) register(ctx context.Context, m member) error {
	var credential corev1.Secret
	key := types.NamespacedName{Namespace: fleet.HubNamespace, Name: secretOf(m.cluster.Name())}
	if err := w.hub.Client().Get(ctx, key, &credential); err != nil {
		return fmt.Errorf("reading the credential of %s: %w", m.cluster.Name(), err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: secretOf(m.name)}, Data: credential.Data}
	if err := w.hub.Client().Create(ctx, secret); err != nil {
		return fmt.Errorf("making the credential of %s: %w", m.name, err)
	}
	return w.hub.Apply(ctx, memberCluster(m.name))
}

// part removes further members and waits until the hub has let them go.
func (w *world) part(ctx context.Context, further []member) error {
	for _, m := range further {
		for _, o := range []client.Object{
			memberCluster(m.name),
			&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: secretOf(m.name)}},
		} {
			if err := w.hub.Client().Delete(ctx, o); err != nil {
				return fmt.Errorf("removing %s: %w", m.name, err)
			}
		}
	}
	return eventuallyEvery(ctx, catchUp, scrapeEvery, "the further members to be gone", func(ctx context.Context) (bool, error) {
		m, err := w.metrics.hub(ctx)
		return m.Sum("myapp_hub_member_connected") == float64(len(w.members)), err
	})
}

func secretOf(name string) string { return name + "-kubeconfig" }

func memberCluster(name string) *unstructured.Unstructured {
	return object(v1.GroupVersion.String(), "MemberCluster", "", name, map[string]any{"spec": map[string]any{
		"mode": string(fleet.ModePush), "kubeconfigSecretRef": map[string]any{"name": secretOf(name)},
	}})
}
