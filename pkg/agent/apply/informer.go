package apply

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
)

// informer tells when the cluster no longer finds its kind. Such an informer keeps
// what it has seen last and calls itself synced, which is true no more.
type informer struct {
	toolscache.SharedIndexInformer
	lost chan struct{}
	once sync.Once
}

func newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	i := &informer{SharedIndexInformer: toolscache.NewSharedIndexInformer(lw, object, resync, indexers), lost: make(chan struct{})}
	_ = i.SetWatchErrorHandlerWithContext(toolscache.DefaultWatchErrorHandler) // It fails only once it runs.
	return i
}

// SetWatchErrorHandlerWithContext sets who else is told about errors.
func (i *informer) SetWatchErrorHandlerWithContext(next toolscache.WatchErrorHandlerWithContext) error {
	return i.SharedIndexInformer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *toolscache.Reflector, err error) {
		if apierrors.IsNotFound(err) {
			i.once.Do(func() { close(i.lost) })
		}
		next(ctx, r, err)
	})
}

// keepWatching says when the first list of a kind was read, and ends the watch when
// the cluster no longer finds the kind: who needs it next begins anew.
func (e *Engine) keepWatching(ctx context.Context, watch kindWatch) {
	begun := func() bool { return watch.synced() || closed(watch.lost) }
	if toolscache.WaitForCacheSync(ctx.Done(), begun) {
		e.onSync()
	}
	select {
	case <-ctx.Done():
	case <-watch.lost:
		e.unwatch(ctx, watch)
		e.onSync()
		e.watchAgain(ctx, watch)
	}
}

// watchAgain begins the watch anew of a kind that the cluster serves all the same:
// objects that no app wants any more are found by it alone.
func (e *Engine) watchAgain(ctx context.Context, watch kindWatch) {
	_ = wait.PollUntilContextCancel(ctx, retryUnwatched, false, func(context.Context) (bool, error) {
		gone, err := e.gone(watch.gvk.GroupKind())
		if err == nil && !gone {
			_, err = e.watch(watch.gvk)
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
