package main

import (
	"cmp"
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/apps/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"

	"github.com/example/myapp-hub/test/bench/floor/plan"
)

// member is a cluster that gets every app.
type member struct {
	floor *floor
	name  string
	// namespace is where all objects are; empty: in that of their app.
	namespace string
	writes    metadata.Interface
	factory   informers.SharedInformerFactory
	lister    listers.DeploymentLister
	synced    cache.InformerSynced
	queue     workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

func newMember(c plan.Cluster, f *floor) (*member, error) {
	cfg, err := load(c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	protobuf := rest.CopyConfig(cfg)
	protobuf.ContentType = "application/vnd.kubernetes.protobuf"
	protobuf.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	reads, err := kubernetes.NewForConfig(protobuf)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", c.Name, err)
	}
	writes, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", c.Name, err)
	}
	m := &member{
		floor: f, name: c.Name, namespace: c.Namespace, writes: writes,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
	}
	m.factory = informers.NewSharedInformerFactoryWithOptions(reads, 0, informers.WithNamespace(c.Namespace), informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = plan.HubLabel + "=" + plan.Manager + "," + plan.MemberLabel + "=" + c.Name
	}))
	deployments := m.factory.Apps().V1().Deployments()
	m.lister, m.synced = deployments.Lister(), deployments.Informer().HasSynced
	_, err = deployments.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: m.saw, UpdateFunc: func(_, now any) { m.saw(now) },
	})
	return m, err
}

func (m *member) start(ctx context.Context) error {
	m.factory.StartWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), m.synced) {
		return fmt.Errorf("listing the Deployments of %s: %w", m.name, ctx.Err())
	}
	for range slotsPerMember {
		go m.work(ctx)
	}
	return nil
}

func (m *member) saw(object any) {
	if d, ok := object.(*appsv1.Deployment); ok {
		m.floor.look(types.NamespacedName{Namespace: cmp.Or(d.Labels[plan.NamespaceLabel], d.Namespace), Name: d.Name}, m.name)
	}
}

// home is the namespace of an app's objects.
func (m *member) home(app types.NamespacedName) string { return cmp.Or(m.namespace, app.Namespace) }

// ready is the generation of the Deployment in the cache, and whether all of its
// pods are there.
func (m *member) ready(key types.NamespacedName) (generation int64, ready bool) {
	d, err := m.lister.Deployments(m.home(key)).Get(key.Name)
	if err != nil {
		return 0, false // it is not there yet
	}
	want := ptr.Deref(d.Spec.Replicas, 1)
	return d.Generation, d.Status.ObservedGeneration >= d.Generation &&
		d.Status.UpdatedReplicas >= want && d.Status.AvailableReplicas >= want
}

func (m *member) work(ctx context.Context) {
	for {
		key, done := m.queue.Get()
		if done || ctx.Err() != nil {
			return
		}
		m.floor.slots <- struct{}{}
		err := m.apply(ctx, key)
		<-m.floor.slots
		if err != nil {
			complain(err)
			m.queue.AddRateLimited(key)
		} else {
			m.queue.Forget(key)
		}
		m.queue.Done(key)
	}
}

// apply applies the objects of an app, one after the other. The answers are
// metadata only.
func (m *member) apply(ctx context.Context, key types.NamespacedName) error {
	v, objects, ok := m.floor.task(key)
	if !ok {
		return nil
	}
	generation := int64(0)
	for _, o := range objects {
		resource := schema.GroupVersionResource{Group: o.Group, Version: o.Version, Resource: o.Resource}
		written, err := m.writes.Resource(resource).Namespace(m.home(key)).Patch(ctx, key.Name, types.ApplyPatchType,
			fill(o.Content, v, m), metav1.PatchOptions{FieldManager: plan.Manager, Force: ptr.To(true)})
		if err != nil {
			return fmt.Errorf("applying %s %s to %s: %w", o.Resource, key, m.name, err)
		}
		if o.Resource == "deployments" {
			generation = written.Generation
		}
	}
	m.floor.applied(v, m.name, generation)
	return nil
}
