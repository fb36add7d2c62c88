package simulator

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/util/workqueue"
)

// simulated is a cluster that a simulator takes care of.
type simulated struct {
	simulator *Simulator
	name      string
	clients   kubernetes.Interface
	lister    func(namespace string) listers.DeploymentNamespaceLister
	queue     workqueue.TypedInterface[types.NamespacedName]
}

// look notes what is seen of a Deployment, and has its status written if need be.
func (m *simulated) look(object any) {
	d, ok := object.(*appsv1.Deployment)
	if !ok {
		return
	}
	key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
	now := time.Now()
	m.simulator.saw(Sighting{Cluster: m.name, Deployment: key, Generation: d.Generation}, now)
	switch {
	case settled(d, m.simulator.isDown(m.name, key)):
		m.simulator.shown(m.name, key, now)
	case d.DeletionTimestamp == nil:
		m.queue.Add(key)
	}
}

func (m *simulated) work(ctx context.Context) {
	for {
		key, done := m.queue.Get()
		if done {
			return
		}
		err := m.makeReady(ctx, key)
		m.queue.Done(key)
		switch {
		case err == nil || ctx.Err() != nil:
		case apierrors.IsNotFound(err), apierrors.IsConflict(err): // deleted, or made again: an event follows
		default:
			m.simulator.failed(err)
			m.queue.Add(key)
		}
	}
}

// makeReady patches the status of a Deployment as the cache shows it, or takes it
// down if that is wished.
func (m *simulated) makeReady(ctx context.Context, key types.NamespacedName) error {
	d, err := m.lister(key.Namespace).Get(key.Name)
	down := m.simulator.isDown(m.name, key)
	if err != nil || settled(d, down) {
		return err
	}
	return m.write(ctx, d, down)
}

func (m *simulated) write(ctx context.Context, d *appsv1.Deployment, down bool) error {
	body, err := patch(d, down)
	if err != nil {
		return err
	}
	key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
	_, err = m.clients.AppsV1().Deployments(key.Namespace).Patch(ctx, key.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("writing the status of Deployment %s on %s: %w", key, m.name, err)
	}
	return nil
}
