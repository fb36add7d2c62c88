package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// retryUnwatched is when to look again at a kind whose first list takes long.
const retryUnwatched = 5 * time.Second

// watches are the kinds that the engine watches.
type watches struct {
	mu sync.Mutex
	// life ends the watches; it is the context of Start.
	life  context.Context
	kinds map[schema.GroupKind]kindWatch
	// resumed is true once the inventory was read and its kinds are watched.
	resumed bool
}

type kindWatch struct {
	gvk schema.GroupVersionKind
	// store has what the cache shows.
	store *store
	// synced is true while the cache shows what there is.
	synced func() bool
	// lost is closed when the cluster no longer finds the kind; ended is true once
	// its informer is gone. Its objects may still be there: a proxy can be wrong.
	lost  <-chan struct{}
	ended bool
	// denied is true once the cluster has refused to list the kind.
	denied func() bool
	// failures is how often it was begun without a first list.
	failures int
}

// Start watches the kinds that every app has and those that the cluster's
// inventory names, until ctx ends. It returns once the former have synced and the
// latter were looked for once; what fails of that is tried again. Of a kind that
// has not synced the engine takes no notice.
func (e *Engine) Start(ctx context.Context) error {
	e.watches.mu.Lock()
	e.watches.life = ctx
	e.watches.mu.Unlock()
	var synced []toolscache.InformerSynced
	for _, gvk := range baseKinds() {
		watch, err := e.watch(gvk)
		if err != nil {
			return err
		}
		synced = append(synced, watch.synced)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	if err := e.resume(ctx); err != nil {
		e.logResume(ctx, err)
		go e.keepResuming(ctx)
	}
	return nil
}

// keepResuming resumes until that succeeds.
func (e *Engine) keepResuming(ctx context.Context) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Steps: 6, Cap: 30 * time.Second}
	_ = backoff.DelayFunc().Until(ctx, false, false, func(ctx context.Context) (bool, error) {
		err := e.resume(ctx)
		if err != nil {
			e.logResume(ctx, err)
		}
		return err == nil, nil
	})
	e.onSync()
}

func (e *Engine) logResume(ctx context.Context, err error) {
	logf.FromContext(ctx).Error(err, "Cannot watch all kinds of which apps had objects", "inventory", e.inventory().String())
}

// resume watches the kinds that the inventory names.
func (e *Engine) resume(ctx context.Context) error {
	kinds, err := e.readInventory(ctx)
	if err != nil {
		return err
	}
	for _, gvk := range kinds {
		mapping, err := e.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if meta.IsNoMatchError(err) {
			mapping, err = e.mapper.RESTMapping(gvk.GroupKind()) // in another version, perhaps
		}
		if meta.IsNoMatchError(err) {
			continue // The kind is gone from the cluster, and its objects with it.
		}
		if err != nil {
			return fmt.Errorf("looking for %s, of which apps had objects: %w", gvk, err)
		}
		if mapping.Scope.Name() == meta.RESTScopeNameRoot {
			continue // No app has had one: somebody else wrote this into the inventory.
		}
		if _, err := e.watch(mapping.GroupVersionKind); err != nil {
			return err
		}
	}
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	e.watches.resumed = true
	return nil
}

// resumed is true once every kind of which apps had objects is watched.
func (e *Engine) resumed() bool {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	return e.watches.resumed
}

// watch starts the watch of a kind unless it runs. It makes no request of its
// own and does not wait.
func (e *Engine) watch(gvk schema.GroupVersionKind) (kindWatch, error) {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	if watch, ok := e.watches.kinds[gvk.GroupKind()]; ok {
		return watch, nil
	}
	return e.begin(gvk, 0)
}

// watchAnew starts the watch of a kind that had ended.
func (e *Engine) watchAnew(gvk schema.GroupVersionKind, failures int) error {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	_, err := e.begin(gvk, failures)
	return err
}

// begin starts a watch; the caller holds the lock.
func (e *Engine) begin(gvk schema.GroupVersionKind, failures int) (kindWatch, error) {
	ctx, objects := e.watches.life, newStore()
	started, err := e.cache.GetInformer(ctx, watched(gvk), cache.BlockUntilSynced(false))
	if err != nil {
		return kindWatch{}, fmt.Errorf("starting the informer of %s: %w", gvk, err)
	}
	registration, err := started.AddEventHandler(e.handler(gvk.GroupKind(), objects))
	if err != nil {
		return kindWatch{}, fmt.Errorf("watching %s: %w", gvk, err)
	}
	watch := kindWatch{gvk: gvk, store: objects, synced: registration.HasSynced, failures: failures, denied: func() bool { return false }}
	if i, ok := started.(*informer); ok {
		watch.denied = i.denied.Load
		if !isRendered(gvk) {
			watch.lost = i.lost
			watch.synced = func() bool { return registration.HasSynced() && !closed(i.lost) }
		}
	}
	if before, ok := e.watches.kinds[gvk.GroupKind()]; ok {
		e.objects.Add(-before.store.size.Load())
	}
	e.watches.kinds[gvk.GroupKind()] = watch
	if !isBase(gvk) {
		go e.keepWatching(ctx, watch)
	}
	return watch, nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watching are the kinds that are watched, sorted; only those whose cache shows
// what there is, if synced is true.
func (e *Engine) watching(synced bool) []schema.GroupVersionKind {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	kinds := make([]schema.GroupVersionKind, 0, len(e.watches.kinds))
	for _, watch := range e.watches.kinds {
		if !synced || watch.synced() {
			kinds = append(kinds, watch.gvk)
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	return kinds
}

// mayBeAt refuses an object in another namespace than the app's, and in the place of the
// engine's own.
func (e *Engine) mayBeAt(m manifest.Manifest, home string) (Change, bool) {
	if m.Namespace != home {
		return refused(m, v1.ReasonNotPermitted, "the objects of the app belong into namespace %s of the member", home), false
	}
	if at := e.inventory(); m.GVK == configMapGVK && m.Name == at.Name && m.Namespace == at.Namespace {
		return refused(m, v1.ReasonNotPermitted, "the member's inventory has that name: give the app or the object another one"), false
	}
	return Change{}, true
}

// shown are the watches whose cache shows what there is.
func (e *Engine) shown() []kindWatch {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	shown := make([]kindWatch, 0, len(e.watches.kinds))
	for _, watch := range e.watches.kinds {
		if watch.synced() {
			shown = append(shown, watch)
		}
	}
	return shown
}

// gvkOf is the watched version of a kind.
func (e *Engine) gvkOf(kind kindKey) schema.GroupVersionKind {
	e.watches.mu.Lock()
	defer e.watches.mu.Unlock()
	return e.watches.kinds[kind].gvk
}

// prepare sees to it that the kinds of the manifests are watched, and refuses
// the first that cannot be. A kind is recorded in the inventory before its first
// object is made, for what is not watched after a restart would be left behind, and
// not before it was listed: what may not be listed could never be confirmed gone.
func (e *Engine) prepare(ctx context.Context, home string, manifests []manifest.Manifest) (Change, bool, error) {
	var missing []manifest.Manifest
	e.watches.mu.Lock()
	for _, m := range manifests {
		if watch, ok := e.watches.kinds[m.GVK.GroupKind()]; !ok || !watch.synced() || !e.isRecorded(m.GVK) {
			missing = append(missing, m)
		}
	}
	e.watches.mu.Unlock()
	for _, m := range manifests {
		if change, ok := e.mayBeAt(m, home); !ok {
			return change, false, nil
		}
	}
	for _, m := range missing {
		mapping, err := e.mapper.RESTMapping(m.GVK.GroupKind(), m.GVK.Version)
		switch {
		case meta.IsNoMatchError(err):
			return refused(m, v1.ReasonKindMissing, "the member does not serve %s: install it there, or remove the object from spec.manifests", m.GVK), false, nil
		case err != nil:
			return Change{}, false, fmt.Errorf("finding the resource of %s: %w", m.GVK, classify(err))
		case mapping.Scope.Name() == meta.RESTScopeNameRoot:
			return refused(m, v1.ReasonNotPermitted, "%s objects belong to the whole cluster, and an app may not make those: remove the object from spec.manifests", m.GVK.Kind), false, nil
		}
		watch, err := e.watch(m.GVK)
		if err != nil {
			return Change{}, false, err
		}
		if watch.ended {
			return refused(m, v1.ReasonKindMissing, "the member no longer serves %s: install it there again, or remove the object from spec.manifests", m.GVK), false, nil
		}
		if !watch.synced() {
			change := refused(m, v1.ReasonUnreadable, "waiting for the first list of %s objects", m.GVK.Kind)
			if watch.denied() {
				change = refused(m, v1.ReasonPermissionMissing, "%s may not be listed there: grant the account on the member %s, or remove the object from the app", mapping.Resource.Resource, ruleFor(mapping.Resource.GroupResource(), needed(false)))
			}
			change.Retry = retryUnwatched
			return change, false, nil
		}
		if err := e.recordKind(ctx, m.GVK); err != nil {
			return Change{}, false, err
		}
	}
	return Change{}, true, nil
}
