package delivery

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// indexPlaced is the index of MyApps by the members of their rows.
	indexPlaced = "placements.cluster"
	// indexSecretApp is the index of mailbox Secrets by the UID of their app.
	indexSecretApp = "appUID"
)

// AddIndexes adds the index that delivery reads the hub's cache by.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1.MyApp{}, indexPlaced, func(o client.Object) []string {
		return members(o.(*v1.MyApp))
	})
	if err != nil {
		return fmt.Errorf("indexing MyApps by member: %w", err)
	}
	err = indexer.IndexField(ctx, secretMeta(), indexSecretApp, func(o client.Object) []string {
		if uid := o.GetLabels()[v1.LabelAppUID]; uid != "" {
			return []string{uid}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing mailbox Secrets by app: %w", err)
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
			CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1.MyApp], q queue) {
				if e.IsInInitialList {
					c.enqueueKnown(ctx, e.Object, q)
				} else {
					c.enqueueDecided(e.Object, changedDecisions(nil, e.Object), q)
				}
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1.MyApp], q queue) {
				c.enqueueDecided(e.ObjectNew, changedDecisions(e.ObjectOld, e.ObjectNew), q)
			},
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1.MyApp], q queue) {
				c.reconciler.Reports.Forget(e.Object.UID)
				c.reconciler.plans.forget(e.Object.UID)
				enqueue(q, e.Object, members(e.Object)) // for what it has left in mailboxes
			},
		}),
		source.TypedKind(c.hub, &v1.Work{}, handler.TypedFuncs[*v1.Work, mcreconcile.Request]{
			CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*v1.Work], q queue) {
				if member, app, ok := workOrder(e.Object); ok && e.IsInInitialList {
					later(q, request(member, app))
				} else {
					enqueueWork(q, e.Object)
				}
			},
			UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1.Work], q queue) { enqueueWork(q, e.ObjectNew) },
			DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1.Work], q queue) { enqueueWork(q, e.Object) },
		}),
		source.TypedKind(c.hub, &v1.MemberCluster{}, handler.TypedFuncs[*v1.MemberCluster, mcreconcile.Request]{
			CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1.MemberCluster], q queue) {
				if !e.IsInInitialList {
					c.enqueuePlaced(ctx, e.Object.Name, q)
				}
			},
			UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1.MemberCluster], q queue) {
				if rendersOtherwise(e.ObjectOld, e.ObjectNew) {
					c.enqueuePlaced(ctx, e.ObjectNew.Name, q)
				}
			},
		}),
		source.TypedKind(c.reconciler.Secrets, &corev1.Secret{}, handler.TypedFuncs[*corev1.Secret, mcreconcile.Request]{
			CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*corev1.Secret], q queue) {
				if !e.IsInInitialList {
					c.enqueueNamespace(ctx, e.Object, q)
				}
			},
			UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*corev1.Secret], q queue) {
				c.enqueueNamespace(ctx, e.ObjectNew, q)
			},
			DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*corev1.Secret], q queue) {
				c.enqueueNamespace(ctx, e.Object, q)
			},
		}),
		source.TypedKind(c.hub, secretMeta(), handler.TypedFuncs[*metav1.PartialObjectMetadata, mcreconcile.Request]{
			UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*metav1.PartialObjectMetadata], q queue) {
				c.enqueueMailboxSecret(ctx, e.ObjectNew, q)
			},
			DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*metav1.PartialObjectMetadata], q queue) {
				c.enqueueMailboxSecret(ctx, e.Object, q)
			},
		}),
	}
}

// enqueueDecided enqueues an app for members about which something was decided.
func (c *Controller) enqueueDecided(app *v1.MyApp, members []string, q queue) {
	for _, member := range members {
		req := request(member, client.ObjectKeyFromObject(app))
		c.reconciler.gates.hear(req, decided)
		q.Add(req)
	}
}

// enqueueKnown enqueues an app that was there before the hub. A Push member's turn
// comes when it can be worked on.
func (c *Controller) enqueueKnown(ctx context.Context, app *v1.MyApp, q queue) {
	for _, member := range members(app) {
		if !c.isPush(ctx, member) {
			later(q, request(member, client.ObjectKeyFromObject(app)))
		}
	}
}

func (c *Controller) isPush(ctx context.Context, member string) bool {
	known := &v1.MemberCluster{}
	err := c.hub.Get(ctx, types.NamespacedName{Name: member}, known, client.UnsafeDisableDeepCopy)
	return err == nil && known.Spec.Mode != v1.ModePull
}

// isPlaced is true for an app that has a row for the member.
func (c *Controller) isPlaced(ctx context.Context, app types.NamespacedName, member string) bool {
	known := &v1.MyApp{}
	err := c.hub.Get(ctx, app, known, client.UnsafeDisableDeepCopy)
	return err == nil && rowOf(known, member) != nil
}

// rendersOtherwise is true when the member may be given something else than before:
// overrides and variables see to that, and one that was made anew in its place.
func rendersOtherwise(before, after *v1.MemberCluster) bool {
	return before.UID != after.UID || before.Spec.Mode != after.Spec.Mode || before.Spec.Namespace != after.Spec.Namespace ||
		before.IsAccepted() != after.IsAccepted() || before.Spec.Leave != after.Spec.Leave ||
		!maps.Equal(before.Labels, after.Labels) || !maps.Equal(before.Spec.Properties, after.Spec.Properties)
}

// enqueueNamespace enqueues every placed app of a Secret's namespace: one that
// does not refer to it costs nothing.
func (c *Controller) enqueueNamespace(ctx context.Context, secret *corev1.Secret, q queue) {
	if secret.Labels[v1.LabelPropagate] == "" {
		return
	}
	var apps v1.MyAppList
	if err := c.hub.List(ctx, &apps, client.InNamespace(secret.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list the apps of a Secret", "namespace", secret.Namespace)
		return
	}
	for i := range apps.Items {
		enqueue(q, &apps.Items[i], members(&apps.Items[i]))
	}
}

// enqueueMailboxSecret enqueues the app whose Secret in a mailbox has changed.
func (c *Controller) enqueueMailboxSecret(ctx context.Context, secret *metav1.PartialObjectMetadata, q queue) {
	if secret.Labels[v1.LabelAppUID] == "" {
		return
	}
	work := &v1.Work{}
	key := types.NamespacedName{Namespace: secret.Namespace, Name: workOfSecret(secret.Name)}
	if err := c.hub.Get(ctx, key, work); err == nil {
		enqueueWork(q, work)
	}
}

// enqueueAll has every app looked at on every member that it has a row for.
func (c *Controller) enqueueAll() {
	select {
	case <-c.started:
	default:
		return // All are looked at as members come up, or at the start.
	}
	ctx := logf.IntoContext(context.Background(), c.GetLogger())
	var known v1.MemberClusterList
	if err := c.hub.List(ctx, &known, client.UnsafeDisableDeepCopy); err != nil {
		c.GetLogger().Error(err, "Cannot list all members")
		return
	}
	for i := range known.Items {
		c.enqueuePlaced(ctx, known.Items[i].Name, c.queue)
	}
}

func members(app *v1.MyApp) []string {
	names := make([]string, 0, len(app.Status.Placements))
	for _, row := range app.Status.Placements {
		names = append(names, row.Cluster)
	}
	return names
}

// changedDecisions are the members about which something else is to be done
// than before: all, once a change of the spec is observed, for its policies count
// for all. A row whose observed part alone changed is not among them.
func changedDecisions(before, after *v1.MyApp) []string {
	type decision struct {
		number, generation int64
		removing           bool
		paused, going      bool
		// Of a removal only.
		policy  v1.DeletionPolicy
		givenUp bool
	}
	of := func(app *v1.MyApp) map[string]decision {
		decisions := map[string]decision{}
		if app == nil {
			return decisions
		}
		for _, row := range app.Status.Placements {
			d := decision{number: row.Decision, generation: app.Status.ObservedGeneration, paused: app.Spec.Paused, going: app.DeletionTimestamp != nil}
			if row.State == v1.PlacementRemoving {
				d.removing, d.policy, d.givenUp = true, app.Spec.DeletionPolicy, slices.Contains(v1.GivenUp(app), row.Cluster)
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
		sooner(q, request(member, app))
	}
}

func request(member string, app types.NamespacedName) mcreconcile.Request {
	req := mcreconcile.Request{ClusterName: multicluster.ClusterName(member)}
	req.NamespacedName = app
	return req
}
