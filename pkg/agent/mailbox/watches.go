package mailbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
)

const workers = 8

// Setup makes the engine of the agent's own cluster from config, which lacks only
// where events go, and adds the controller to the agent's manager.
func Setup(mgr manager.Manager, r *Reconciler, config apply.Config) error {
	own := &ownCluster{member: config.Member, works: mgr.GetClient(), started: make(chan struct{})}
	config.OnChange, config.OnSync, config.Unanswered = own.onChange, own.enqueueAll, &apply.Unanswered{}
	r.Engine = apply.New(config)
	own.engine = r.Engine
	c, err := controller.NewTypedUnmanaged("mailbox", controller.TypedOptions[reconcile.Request]{
		Reconciler:              r,
		MaxConcurrentReconciles: workers,
		NeedLeaderElection:      ptr.To(false),
		RecoverPanic:            ptr.To(true),
		UsePriorityQueue:        ptr.To(true),
		CacheSyncTimeout:        2 * time.Minute,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 5*time.Second),
		Logger:                  mgr.GetLogger(),
	})
	if err != nil {
		return fmt.Errorf("making the mailbox controller: %w", err)
	}
	for _, src := range []source.Source{
		own,
		source.Kind(mgr.GetCache(), &v1.Work{}, &handler.TypedEnqueueRequestForObject[*v1.Work]{}),
		source.Kind(mgr.GetCache(), &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(toWork)),
	} {
		if err := c.Watch(src); err != nil {
			return fmt.Errorf("watching %v: %w", src, err)
		}
	}
	return mgr.Add(c)
}

// toWork maps a Secret of the mailbox to its Work: its name begins with the
// Work's, which has no dots.
func toWork(_ context.Context, secret *corev1.Secret) []reconcile.Request {
	work, _, ok := strings.Cut(secret.Name, ".")
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: secret.Namespace, Name: work}}}
}

// ownCluster is the source of what happens on the agent's own cluster. It has
// synced once the engine has started.
type ownCluster struct {
	member string
	engine *apply.Engine
	works  client.Reader

	mu      sync.Mutex
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	started chan struct{}
	err     error
}

// Start implements source.Source.
func (o *ownCluster) Start(ctx context.Context, q workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	o.mu.Lock()
	o.queue = q
	o.mu.Unlock()
	go func() {
		o.err = o.engine.Start(ctx)
		close(o.started)
	}()
	return nil
}

// WaitForSync implements source.SyncingSource.
func (o *ownCluster) WaitForSync(ctx context.Context) error {
	select {
	case <-o.started:
		return o.err
	case <-ctx.Done():
		return errors.New("the own cluster's objects could not be listed in time")
	}
}

func (o *ownCluster) enqueue(work types.NamespacedName) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.queue != nil {
		o.queue.Add(reconcile.Request{NamespacedName: work})
	}
}

// enqueueAll enqueues every Work: some of them wait for a kind to be listed.
func (o *ownCluster) enqueueAll() {
	var works v1.WorkList
	if err := o.works.List(context.Background(), &works, client.UnsafeDisableDeepCopy); err != nil {
		logf.Log.Error(err, "Cannot list the mailbox")
		return
	}
	for i := range works.Items {
		o.enqueue(client.ObjectKeyFromObject(&works.Items[i]))
	}
}

// onChange enqueues the Work that placed an object.
func (o *ownCluster) onChange(app apply.App, _ bool) {
	if app.UID != "" {
		o.enqueue(types.NamespacedName{Namespace: v1.MailboxNamespace(o.member), Name: v1.WorkName(app.Namespace, app.Name, app.UID)})
	}
}
