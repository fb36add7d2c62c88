package mailbox

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
)

const workers = 8

// Setup adds the controller to the agent's manager. local is the cache of the
// agent's own cluster.
func Setup(mgr manager.Manager, local cache.Cache, r *Reconciler) error {
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
	sources := []source.Source{source.Kind(mgr.GetCache(), &v1.Work{}, &handler.TypedEnqueueRequestForObject[*v1.Work]{})}
	for _, object := range apply.Watched() {
		sources = append(sources, source.Kind(local, object, handler.EnqueueRequestsFromMapFunc(toWork(r.Engine.Member()))))
	}
	for _, src := range sources {
		if err := c.Watch(src); err != nil {
			return fmt.Errorf("watching %v: %w", src, err)
		}
	}
	return mgr.Add(c)
}

// toWork maps an object on the own cluster to the Work that placed it.
func toWork(member string) handler.MapFunc {
	return func(_ context.Context, o client.Object) []reconcile.Request {
		l := o.GetLabels()
		if l[v1.LabelApp] == "" || l[v1.LabelAppUID] == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{
			Namespace: v1.MailboxNamespace(member),
			Name:      v1.WorkName(o.GetNamespace(), l[v1.LabelApp], types.UID(l[v1.LabelAppUID])),
		}}}
	}
}
