package delivery

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/source"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	"github.com/example/myapp-hub/pkg/agent/apply"
)

// workers is how many requests are worked on at the same time. A worker waits
// for one answer of one member at the most, and a member can hold only its slots.
const (
	workers = 128
	// slowestRetry is how long a pass that fails again and again waits at most. A
	// member that does not answer costs no passes: its requests are parked.
	slowestRetry = 10 * time.Second
)

// unreadableAfter is how long the first sync of a member's cache may take before
// its rows say so.
const unreadableAfter = 10 * time.Second

// Session is what delivery needs of a Push member's connection.
type Session interface {
	cluster.Cluster
	// Namespace is that of a namespaced member, else empty.
	Namespace() string
	// Tenants is true if the clients act as another in each namespace.
	Tenants() bool
	// Metadata is the client that writes to the member.
	Metadata() metadata.Interface
	// Dynamic is the client that reads whole objects from the member.
	Dynamic() dynamic.Interface
	// Suspect says that a request found the member silent.
	Suspect()
	// Refuse ends the connection to a member that asks too much of the hub.
	Refuse(message string)
	// Look says that the member may serve other kinds than before.
	Look()
}

// Controller is the multicluster controller of deliveries. It is a
// controller-runtime controller of multicluster requests with an Engage of its
// own, which never blocks and leaves nothing behind when a member's connection
// ends.
type Controller struct {
	controller.TypedController[mcreconcile.Request]
	reconciler *Reconciler
	hub        cache.Cache
	// started is closed once queue is set.
	started chan struct{}
	queue   queue
}

var _ mcmanager.Runnable = (*Controller)(nil)

// Setup adds the controller to the manager. ready are sources that are synced
// when decisions may be carried out.
func Setup(mgr mcmanager.Manager, r *Reconciler, ready ...source.TypedSource[mcreconcile.Request]) error {
	local := mgr.GetLocalManager()
	r.gates = newGates()
	c := &Controller{reconciler: r, hub: local.GetCache(), started: make(chan struct{})}
	r.requeue = func(req mcreconcile.Request) {
		// What was decided stays behind what was decided for other members: one that is
		// slow, and so has much parked, must not go before those that are not.
		if r.gates.hasSpoken(req) {
			sooner(c.queue, req)
		} else {
			c.queue.Add(req)
		}
	}
	r.Guard.OnChange(c.enqueueAll)

	inner, err := controller.NewTypedUnmanaged("delivery", controller.TypedOptions[mcreconcile.Request]{
		Reconciler:              r,
		MaxConcurrentReconciles: workers,
		NeedLeaderElection:      ptr.To(true),
		RecoverPanic:            ptr.To(true),
		UsePriorityQueue:        ptr.To(true),
		CacheSyncTimeout:        2 * time.Minute,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[mcreconcile.Request](50*time.Millisecond, slowestRetry),
		Logger:                  local.GetLogger(),
	})
	if err != nil {
		return fmt.Errorf("making the delivery controller: %w", err)
	}
	c.TypedController = inner
	for _, src := range append(c.sources(), ready...) {
		if err := inner.Watch(src); err != nil {
			return fmt.Errorf("watching %v for deliveries: %w", src, err)
		}
	}
	if err := registerMetrics(r.gates); err != nil {
		return err
	}
	return mgr.Add(c)
}

// Engage takes up work on a member whose connection has come up. It returns at
// once; discovery, informers and the first sync run in the connection's context.
func (c *Controller) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	session, ok := cl.(Session)
	if !ok {
		return fmt.Errorf("member %s: a %T is not a session", name, cl)
	}
	go c.serve(ctx, string(name), session)
	return nil
}

// serve lets requests work on the member once its cache has synced, until the
// connection ends.
func (c *Controller) serve(ctx context.Context, member string, session Session) {
	log := c.GetLogger().WithValues("member", member)
	select {
	case <-c.started:
	case <-ctx.Done():
		return
	}
	engine := apply.New(apply.Config{
		Member: member, Namespace: session.Namespace(), Tenants: session.Tenants(), Cache: session.GetCache(), Metadata: session.Metadata(), Dynamic: session.Dynamic(), Mapper: session.GetRESTMapper(),
		Discover: func() (meta.RESTMapper, error) {
			session.Look()
			return apply.NewMapper(session.GetConfig(), session.GetHTTPClient())
		},
		OnChange: func(app apply.App, initial bool) {
			req := request(member, app.NamespacedName)
			switch {
			case !initial:
				c.reconciler.gates.hear(req, spoken)
				sooner(c.queue, req)
			case !c.isPlaced(ctx, app.NamespacedName, member): // else enqueuePlaced sees to it
				later(c.queue, req)
			}
		},
		OnFlood: func() {
			session.Refuse(fmt.Sprintf("there are more than %d objects with the labels of apps of this hub: delete those that no app has", apply.MaxObjects))
		},
		OnSync:     func() { c.refillPlaced(ctx, member) },
		Unanswered: &c.reconciler.unanswered, Covered: &c.reconciler.covered,
		Held: func() (string, bool) { return c.reconciler.mayNotWrite(ctx, member) },
	})
	slow := time.AfterFunc(unreadableAfter, func() { c.explainUnreadable(ctx, member) })
	err := engine.Start(logf.IntoContext(ctx, log))
	slow.Stop()
	if err != nil {
		c.reconciler.gates.close(member, nil, func() {})
		if ctx.Err() == nil {
			log.Error(err, "Cannot watch the member")
			session.Suspect()
		}
		return
	}
	l := &link{suspect: session.Suspect, engine: engine}
	for _, req := range c.reconciler.gates.open(member, l) {
		c.reconciler.requeue(req)
	}
	c.refillPlaced(ctx, member)
	log.V(1).Info("Member can be worked on")
	<-ctx.Done()
	// What it said before is not what it says when it is back.
	c.reconciler.gates.close(member, l, func() { c.reconciler.Reports.silence(member) })
}

// explainUnreadable says in the rows of a member that its objects cannot be read.
func (c *Controller) explainUnreadable(ctx context.Context, member string) {
	note := "the member answers, but the hub has not been able to list its Deployments and Services: " +
		"check that the rights of deploy/rbac/member-push.yaml are granted there; if it has a spec.namespace, that this namespace exists and has those of member-push-namespaced.yaml"
	if ctx.Err() != nil {
		return
	}
	c.reconciler.gates.explain(member, note)
	c.enqueuePlaced(ctx, member, c.queue)
}

// enqueuePlaced has every app looked at that has a row for the member, after what
// people and members have changed.
func (c *Controller) enqueuePlaced(ctx context.Context, member string, q queue) {
	apps := c.placed(ctx, member)
	if c.isPush(ctx, member) && c.refill(member, apps) {
		return
	}
	for _, app := range apps {
		later(q, request(member, app))
	}
}

// refillPlaced is enqueuePlaced for a member that can be worked on.
func (c *Controller) refillPlaced(ctx context.Context, member string) {
	c.refill(member, c.placed(ctx, member))
}

// refill has apps looked at on a member that can be worked on: they come into the queue
// a few at a time. It does nothing and returns false for any other; when such a one
// comes up it has all of its apps looked at.
func (c *Controller) refill(member string, apps []types.NamespacedName) bool {
	now, open := c.reconciler.gates.refill(member, apps)
	for _, req := range now {
		c.reconciler.requeue(req)
	}
	return open
}

// placed are the apps that have a row for the member; none if they cannot be listed,
// which the cache does not refuse once it runs.
func (c *Controller) placed(ctx context.Context, member string) []types.NamespacedName {
	placed, err := placedOn(ctx, c.hub, member)
	if err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list the apps of a member", "member", member)
	}
	apps := make([]types.NamespacedName, 0, len(placed))
	for i := range placed {
		apps = append(apps, client.ObjectKeyFromObject(&placed[i]))
	}
	return apps
}

// sooner enqueues what a member has said something about, and what has waited for its
// turn: before all that was decided and not tried yet, or an app would be Ready only
// once all others were sent.
func sooner(q queue, req mcreconcile.Request) { add(q, req, 1) }

// later enqueues what is looked at again without a change of its own.
func later(q queue, req mcreconcile.Request) { add(q, req, handler.LowPriority) }

func add(q queue, req mcreconcile.Request, priority int) {
	if prioritized, ok := q.(priorityqueue.PriorityQueue[mcreconcile.Request]); ok {
		prioritized.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, req)
		return
	}
	q.Add(req)
}
