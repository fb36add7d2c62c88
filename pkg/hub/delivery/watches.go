package delivery

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

// indexPlaced is the index of MyApps by the members of their rows.
const indexPlaced = "placements.cluster"

// AddIndexes adds the index that delivery reads the hub's cache by.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1.MyApp{}, indexPlaced, func(o client.Object) []string {
		var members []string
		for _, row := range o.(*v1.MyApp).Status.Placements {
			members = append(members, row.Cluster)
		}
		return members
	})
	if err != nil {
		return fmt.Errorf("indexing MyApps by member: %w", err)
	}
	return nil
}

// placedOn gives the apps that have a row for the member. They are the cache's
// own objects and must not be changed.
func placedOn(ctx context.Context, reader client.Reader, member string) ([]v1.MyApp, error) {
	var apps v1.MyAppList
	if err := reader.List(ctx, &apps, client.MatchingFields{indexPlaced: member}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the apps placed on %s: %w", member, err)
	}
	return apps.Items, nil
}

type queue = workqueue.TypedRateLimitingInterface[mcreconcile.Request]

// sources are the hub's own events: decisions, Works and members. They need no
// connection to any member.
func (c *Controller) sources() []source.TypedSource[mcreconcile.Request] {
	return []source.TypedSource[mcreconcile.Request]{
		source.TypedFunc[mcreconcile.Request](func(_ context.Context, q queue) error {
			c.queue = q
			close(c.started)
			return nil
		}),
		source.TypedKind(c.hub, &v1.MyApp{}, handler.TypedFuncs[*v1.MyApp, mcreconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1.MyApp], q queue) {
				enqueue(q, e.Object, changedDecisions(nil, e.Object))
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1.MyApp], q queue) {
				enqueue(q, e.ObjectNew, changedDecisions(e.ObjectOld, e.ObjectNew))
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1.MyApp], _ queue) {
				c.reconciler.Reports.Forget(e.Object.UID)
			},
		}),
		source.TypedKind(c.hub, &v1.Work{}, handler.TypedFuncs[*v1.Work, mcreconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1.Work], q queue) { enqueueWork(q, e.Object) },
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1.Work], q queue) { enqueueWork(q, e.ObjectNew) },
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1.Work], q queue) { enqueueWork(q, e.Object) },
		}),
		source.TypedKind(c.hub, &v1.MemberCluster{}, handler.TypedFuncs[*v1.MemberCluster, mcreconcile.Request]{
			CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1.MemberCluster], q queue) {
				if !e.IsInInitialList {
					c.enqueuePlaced(ctx, e.Object.Name, q)
				}
			},
		}),
	}
}

// memberEvents maps an object of a member to the app it belongs to.
func (c *Controller) memberEvents(member string) toolscache.ResourceEventHandler {
	add := func(object any) {
		if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		o, err := meta.Accessor(object)
		if err != nil {
			return
		}
		if app := o.GetLabels()[v1.LabelApp]; app != "" {
			c.queue.Add(request(member, types.NamespacedName{Namespace: o.GetNamespace(), Name: app}))
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, object any) { add(object) },
		DeleteFunc: add,
	}
}

// changedDecisions are the members about which something else is to be done
// than before. A row whose observed part alone changed is not among them.
func changedDecisions(before, after *v1.MyApp) []string {
	type decision struct {
		number        int64
		removing      bool
		paused, going bool
		policy        v1.DeletionPolicy // of a removal only
	}
	of := func(app *v1.MyApp) map[string]decision {
		decisions := map[string]decision{}
		if app == nil {
			return decisions
		}
		for _, row := range app.Status.Placements {
			d := decision{number: row.Decision, paused: app.Spec.Paused, going: app.DeletionTimestamp != nil}
			if row.State == v1.PlacementRemoving {
				d.removing, d.policy = true, app.Spec.DeletionPolicy
			}
			decisions[row.Cluster] = d
		}
		return decisions
	}
	was, is := of(before), of(after)
	var changed []string
	for member, d := range is {
		if old, ok := was[member]; !ok || old != d {
			changed = append(changed, member)
		}
	}
	for member := range was {
		if _, ok := is[member]; !ok {
			changed = append(changed, member)
		}
	}
	return changed
}

func enqueue(q queue, app *v1.MyApp, members []string) {
	for _, member := range members {
		q.Add(request(member, client.ObjectKeyFromObject(app)))
	}
}

func enqueueWork(q queue, work *v1.Work) {
	if member, app, ok := workOrder(work); ok {
		q.Add(request(member, app))
	}
}

func request(member string, app types.NamespacedName) mcreconcile.Request {
	req := mcreconcile.Request{ClusterName: multicluster.ClusterName(member)}
	req.NamespacedName = app
	return req
}
