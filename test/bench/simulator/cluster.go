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
	m.simulator.saw(Sighting{Cluster: m.name, Deployment: key, Generation: d.Generation}, time.Now())
	if !settled(d) && d.DeletionTimestamp == nil {
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

// makeReady patches the status of a Deployment as the cache shows it.
func (m *simulated) makeReady(ctx context.Context, key types.NamespacedName) error {
	d, err := m.lister(key.Namespace).Get(key.Name)
	if err != nil || settled(d) {
		return err
	}
	body, err := patch(d)
	if err != nil {
		return err
	}
	_, err = m.clients.AppsV1().Deployments(key.Namespace).Patch(ctx, key.Name, types.MergePatchType, body, metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("making Deployment %s on %s ready: %w", key, m.name, err)
	}
	return nil
}
