package app

import (
	"context"
	"fmt"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/quota"
)

// quotaGather is how long the usage of a quota waits for other apps to change.
const quotaGather = time.Second

// quotas keeps what PlacementQuotas say is used.
type quotas struct {
	*Reconciler
}

// setupQuotas adds their controller to the manager.
func setupQuotas(mgr manager.Manager, r *Reconciler) error {
	c, err := controller.NewTypedUnmanaged("quota", controller.TypedOptions[reconcile.Request]{
		Reconciler: &quotas{r}, NeedLeaderElection: ptr.To(true), RecoverPanic: ptr.To(true), Logger: mgr.GetLogger(),
	})
	if err != nil {
		return fmt.Errorf("making the quota controller: %w", err)
	}
	ofNamespace := func(ctx context.Context, app *v1.MyApp, q requests) {
		list, err := quotasOf(ctx, mgr.GetCache(), app.Namespace)
		if err != nil {
			logf.FromContext(ctx).Error(err, "Cannot list the quotas of a namespace")
		}
		for i := range list {
			q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list[i])}, quotaGather)
		}
	}
	for _, src := range []source.TypedSource[reconcile.Request]{
		source.Kind(mgr.GetCache(), &v1.PlacementQuota{}, &handler.TypedEnqueueRequestForObject[*v1.PlacementQuota]{}),
		source.Kind(mgr.GetCache(), &v1.MyApp{}, handler.TypedFuncs[*v1.MyApp, reconcile.Request]{
			UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1.MyApp], q requests) {
				ofNamespace(ctx, e.ObjectNew, q)
			},
			DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1.MyApp], q requests) {
				ofNamespace(ctx, e.Object, q)
			},
		}),
	} {
		if err := c.Watch(src); err != nil {
			return fmt.Errorf("watching %v for quotas: %w", src, err)
		}
	}
	return mgr.Add(c)
}

// Reconcile writes what is used of one quota, if that has changed.
func (q *quotas) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	object := &v1.PlacementQuota{}
	if err := q.Client.Get(ctx, req.NamespacedName, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	fleet, err := q.fleets.now(ctx, q.Client)
	if err != nil {
		return reconcile.Result{}, err
	}
	apps, err := q.apps(ctx, req.Namespace, []v1.PlacementQuota{*object}, fleet)
	if err != nil {
		return reconcile.Result{}, err
	}
	all, _ := q.ledger.Others(req.Namespace, types.UID(""), apps)
	used := quota.Used(object.Spec.Hard, all)
	if apiequality.Semantic.DeepEqual(used, object.Status.Used) {
		return reconcile.Result{}, nil
	}
	base := object.DeepCopy()
	object.Status.Used = used
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	if err := q.Client.Status().Patch(ctx, object, client.MergeFrom(base), client.FieldOwner(v1.FieldManager)); err != nil {
		return reconcile.Result{}, fmt.Errorf("writing what is used of PlacementQuota %s: %w", req, err)
	}
	return reconcile.Result{}, nil
}

// onQuota hands a quota that is new, changed or gone on to the apps of its namespace.
func onQuota(c client.Reader) handler.TypedEventHandler[*v1.PlacementQuota, reconcile.Request] {
	enqueue := func(ctx context.Context, object *v1.PlacementQuota, q requests) {
		enqueueNamespace(ctx, c, object.Namespace, q)
	}
	return handler.TypedFuncs[*v1.PlacementQuota, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1.PlacementQuota], q requests) {
			if !e.IsInInitialList {
				enqueue(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1.PlacementQuota], q requests) {
			if e.ObjectOld.Generation != e.ObjectNew.Generation {
				enqueue(ctx, e.ObjectNew, q)
			}
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1.PlacementQuota], q requests) {
			enqueue(ctx, e.Object, q)
		},
	}
}

// enqueueNamespace enqueues every app of a namespace.
func enqueueNamespace(ctx context.Context, c client.Reader, namespace string, q requests) {
	var apps v1.MyAppList
	if err := c.List(ctx, &apps, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list the apps of a namespace", "namespace", namespace)
		return
	}
	for i := range apps.Items {
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&apps.Items[i])})
	}
}
