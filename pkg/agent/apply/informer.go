package apply

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
)

// informer tells when the cluster refuses to list its kind, or no longer finds it.
// One whose kind is lost keeps what it has seen last and calls itself synced, which
// is true no more.
type informer struct {
	toolscache.SharedIndexInformer
	lost   chan struct{}
	once   sync.Once
	denied atomic.Bool
}

// newInformer has no indexes: the engine's store takes their place.
func newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, _ toolscache.Indexers) toolscache.SharedIndexInformer {
	i := &informer{SharedIndexInformer: toolscache.NewSharedIndexInformer(lw, object, resync, toolscache.Indexers{}), lost: make(chan struct{})}
	_ = i.SetWatchErrorHandlerWithContext(toolscache.DefaultWatchErrorHandler) // It fails only once it runs.
	return i
}

// SetWatchErrorHandlerWithContext sets who else is told about errors.
func (i *informer) SetWatchErrorHandlerWithContext(next toolscache.WatchErrorHandlerWithContext) error {
	return i.SharedIndexInformer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if apierrors.IsNotFound(err) {
			i.once.Do(func() { close(i.lost) })
		}
		if apierrors.IsForbidden(err) {
			i.denied.Store(true)
		}
		next(ctx, r, err)
	})
}

// keepWatching says when the first list of a kind was read. When the cluster no
// longer finds the kind it ends the watch, and begins it anew once that is served
// again, until when apps that have such objects are told so.
func (e *Engine) keepWatching(ctx context.Context, watch kindWatch) {
	begun := func() bool { return watch.synced() || closed(watch.lost) }
	toolscache.WaitForCacheSync(ctx.Done(), begun)
	listed := watch.synced()
	if listed {
		watch.failures = 0
		e.onSync()
	}
	select {
	case <-ctx.Done():
	case <-watch.lost:
		e.unwatch(ctx, watch)
		if listed {
			e.onSync()
		}
		e.watchAgain(ctx, watch)
	}
}

// watchAgain looks for a kind that was lost, less and less often, and watches the
// version in which the cluster serves it.
func (e *Engine) watchAgain(ctx context.Context, watch kindWatch) {
	const doublings = 4
	lost, first := watch.gvk, min(watch.failures, doublings)
	backoff := wait.Backoff{Duration: retryUnwatched << first, Factor: 2, Steps: doublings - first}
	_ = backoff.DelayFunc().Until(ctx, false, false, func(context.Context) (bool, error) {
		mapper, err := e.discover()
		if err != nil {
			return false, nil //nolint:nilerr // it is tried again
		}
		mapping, err := mapper.RESTMapping(lost.GroupKind(), lost.Version)
		if meta.IsNoMatchError(err) {
			mapping, err = mapper.RESTMapping(lost.GroupKind())
		}
		if err == nil {
			err = e.watchAnew(mapping.GroupVersionKind, watch.failures+1)
		}
		return err == nil, nil
	})
}

func (e *Engine) unwatch(ctx context.Context, watch kindWatch) {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	_ = e.cache.RemoveInformer(ctx, watched(watch.gvk)) // It fails for types that have no kind.
	watch.ended = true
	e.watches.kinds[watch.gvk.GroupKind()] = watch
}
