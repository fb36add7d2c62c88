package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

const (
	workers = 16
	// slowestRetry is how long a pass that fails again and again waits at most. A
	// member's return passes through three controllers, and the waits add up.
	slowestRetry = 5 * time.Second
)

type requests = workqueue.TypedRateLimitingInterface[reconcile.Request]

// Setup adds the controller to the manager. onReport is called with a function
// that enqueues an app; ready are sources that are synced when decisions may be
// made.
func Setup(mgr manager.Manager, r *Reconciler, onReport func(func(app types.NamespacedName, news aggregate.News)), ready ...source.TypedSource[reconcile.Request]) error {
	c, err := controller.NewTypedUnmanaged("app", controller.TypedOptions[reconcile.Request]{
		Reconciler:              r,
		MaxConcurrentReconciles: workers,
		NeedLeaderElection:      ptr.To(true),
		RecoverPanic:            ptr.To(true),
		UsePriorityQueue:        ptr.To(true),
		CacheSyncTimeout:        2 * time.Minute,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, slowestRetry),
		Logger:                  mgr.GetLogger(),
	})
	if err != nil {
		return fmt.Errorf("making the app controller: %w", err)
	}
	every := newSweep(everyApp(mgr.GetCache()))
	sources := slices.Concat(ready, []source.TypedSource[reconcile.Request]{
		source.Kind(mgr.GetCache(), &v1.MyApp{}, &handler.TypedEnqueueRequestForObject[*v1.MyApp]{}),
		source.Kind(mgr.GetCache(), &v1.MyApp{}, onDependency(mgr.GetCache())),
		source.Kind(mgr.GetCache(), &v1.MemberCluster{}, onMember(r, every), memberChanged()),
		source.Kind(mgr.GetCache(), namespaceMeta(), onNamespace(mgr.GetCache())),
		source.Kind(mgr.GetCache(), &v1.PlacementQuota{}, onQuota(mgr.GetCache())),
		every,
		memberVersions(mgr.GetCache(), r),
		// Read by observe; the events say nothing that a pass does not know.
		source.Kind(mgr.GetCache(), &appsv1.ControllerRevision{}, handler.TypedFuncs[*appsv1.ControllerRevision, reconcile.Request]{}),
		reports(onReport),
		measurements(r.Measurements),
		holds(everyApp(mgr.GetCache()), r.Guard),
	})
	for _, src := range sources {
		if err := c.Watch(src); err != nil {
			return fmt.Errorf("watching %v for apps: %w", src, err)
		}
	}
	if err := setupQuotas(mgr, r); err != nil {
		return err
	}
	if err := registerMetrics(mgr); err != nil {
		return err
	}
	return mgr.Add(c)
}

// AddIndexes adds the index that observe reads revisions by.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &appsv1.ControllerRevision{}, indexRevisionOwner, func(o client.Object) []string {
		if uid := o.GetLabels()[v1.LabelAppUID]; uid != "" {
			return []string{uid}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing ControllerRevisions by app: %w", err)
	}
	return addDependencyIndex(ctx, indexer)
}

// soon is the priority of an app that a member has become ready for: it may be what
// somebody waits for, and costs one write at the most, while an app that is new costs
// three.
const soon = 1

// gather is how long an app whose members say what is recorded already waits for
// others of them: after a start all say so.
const gather = 2 * time.Second

// reports is the source of changed reports.
func reports(onReport func(func(app types.NamespacedName, news aggregate.News))) source.TypedSource[reconcile.Request] {
	return source.TypedFunc[reconcile.Request](func(_ context.Context, q requests) error {
		onReport(func(app types.NamespacedName, news aggregate.News) {
			request := reconcile.Request{NamespacedName: app}
			prioritized, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
			switch {
			case ok && news == aggregate.BecameReady:
				prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(soon)}, request)
			case ok && news == aggregate.Repeated:
				prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(handler.LowPriority), After: gather}, request)
			default:
				q.Add(request)
			}
		})
		return nil
	})
}

// measurements is the source of answers to gates.
func measurements(m Measurements) source.TypedSource[reconcile.Request] {
	return source.TypedFunc[reconcile.Request](func(ctx context.Context, q requests) error {
		if m != nil {
			m.Start(ctx, func(app types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: app}) })
		}
		return nil
	})
}

// holds is the source of holds that begin and end: they concern every app.
func holds(apps func(context.Context) ([]reconcile.Request, error), guard Guard) source.TypedSource[reconcile.Request] {
	return source.TypedFunc[reconcile.Request](func(ctx context.Context, q requests) error {
		if guard == nil {
			return nil
		}
		guard.OnChange(func() {
			all, err := apps(ctx)
			if err != nil {
				logf.FromContext(ctx).Error(err, "Cannot list the apps that a hold concerns")
			}
			for _, request := range all {
				q.Add(request)
			}
		})
		return nil
	})
}

// onMember hands an event about a member on to all apps: a selector may choose it
// or no longer. The passes that follow see what the event brought.
func onMember(r *Reconciler, every *sweep) handler.TypedEventHandler[*v1.MemberCluster, reconcile.Request] {
	changed := func() {
		r.fleets.changed()
		every.ask()
	}
	return handler.TypedFuncs[*v1.MemberCluster, reconcile.Request]{
		CreateFunc: func(context.Context, event.TypedCreateEvent[*v1.MemberCluster], requests) { changed() },
		UpdateFunc: func(context.Context, event.TypedUpdateEvent[*v1.MemberCluster], requests) { changed() },
		DeleteFunc: func(context.Context, event.TypedDeleteEvent[*v1.MemberCluster], requests) { changed() },
	}
}

// onNamespace hands a change of a namespace's labels on to its apps: members may allow
// them or no longer. What is there at the start is read with the apps.
func onNamespace(c client.Reader) handler.TypedEventHandler[*metav1.PartialObjectMetadata, reconcile.Request] {
	enqueue := func(ctx context.Context, name string, q requests) { enqueueNamespace(ctx, c, name, q) }
	return handler.TypedFuncs[*metav1.PartialObjectMetadata, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*metav1.PartialObjectMetadata], q requests) {
			if !e.IsInInitialList {
				enqueue(ctx, e.Object.Name, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*metav1.PartialObjectMetadata], q requests) {
			if !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) {
				enqueue(ctx, e.ObjectNew.Name, q)
			}
		},
	}
}

// memberVersions is a source without events: it tells the passes where the cache
// says that members have changed. A cache that does not say it is listed each time.
func memberVersions(c cache.Cache, r *Reconciler) source.TypedSource[reconcile.Request] {
	return source.TypedFunc[reconcile.Request](func(ctx context.Context, _ requests) error {
		informer, err := c.GetInformer(ctx, &v1.MemberCluster{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("getting the informer of MemberClusters: %w", err)
		}
		if cached, ok := informer.(interface{ GetStore() toolscache.Store }); ok {
			r.fleets.watch(cached.GetStore())
		}
		return nil
	})
}

func everyApp(c client.Reader) func(context.Context) ([]reconcile.Request, error) {
	return func(ctx context.Context) ([]reconcile.Request, error) {
		var apps v1.MyAppList
		if err := c.List(ctx, &apps, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing MyApps: %w", err)
		}
		all := make([]reconcile.Request, 0, len(apps.Items))
		for i := range apps.Items {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&apps.Items[i])})
		}
		return all, nil
	}
}

// memberChanged lets events through that may change a placement or a row. What is known of
// a member's cluster changes with every pod there.
func memberChanged() predicate.TypedPredicate[*v1.MemberCluster] {
	return predicate.TypedFuncs[*v1.MemberCluster]{
		UpdateFunc: func(e event.TypedUpdateEvent[*v1.MemberCluster]) bool {
			return e.ObjectOld.UID != e.ObjectNew.UID || e.ObjectOld.Generation != e.ObjectNew.Generation || !maps.Equal(e.ObjectOld.Labels, e.ObjectNew.Labels) ||
				!maps.Equal(placement.Annotations(e.ObjectOld), placement.Annotations(e.ObjectNew)) ||
				!apiequality.Semantic.DeepEqual(withoutCapacity(e.ObjectOld.Status), withoutCapacity(e.ObjectNew.Status))
		},
	}
}

// withoutCapacity is a status without what changes all the time: a pass that wants room
// looks again by itself.
func withoutCapacity(status v1.MemberClusterStatus) v1.MemberClusterStatus {
	status.Capacity = nil
	status.Conditions = slices.DeleteFunc(slices.Clone(status.Conditions), func(c metav1.Condition) bool { return c.Type == v1.ConditionCapacityKnown })
	return status
}
