package census

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

const (
	// pageSize is how many objects are asked for at once. An answer may have 32 MiB, and a
	// pod is seldom larger than 50 KB.
	pageSize = 200
	// relist is the wait before a list after a watch that has ended, failed that after an
	// attempt that failed, and denied that after one that was denied: who grants a right is
	// in no hurry to see it.
	relist = time.Second
	failed = 30 * time.Second
	denied = 5 * time.Minute
)

// errTooMany says that a cluster has more objects than a cluster can have.
var errTooMany = errors.New("there are more than any cluster has")

// state is what is known of the objects of a kind.
type state int

const (
	// reading: it is not known yet whether they can be read.
	reading state = iota
	// known: they are read, or were a moment ago.
	known
	// forbidden: they may not be read.
	forbidden
	// unreadable: they cannot be read.
	unreadable
)

// lister reads the objects of a kind.
type lister[T comparable] struct {
	// selector is a field selector.
	selector string
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	// take is what is kept of an object, and false if it counts for nothing.
	take func(runtime.Object) (T, bool)
}

// watched is what is kept of the objects of a kind. It is the store of a reflector.
type watched[T comparable] struct {
	lister[T]
	kind    string
	most    int
	changed func()
	clock   clock.Clock
	log     logr.Logger
	wake    chan struct{}

	mu   sync.Mutex
	is   state
	kept map[types.UID]T
	// overflow ends the attempt that is under way.
	overflow context.CancelCauseFunc
}

func newWatched[T comparable](kind string, most int, changed func(), o Options, l lister[T]) *watched[T] {
	return &watched[T]{lister: l, kind: kind, most: most, changed: changed, clock: o.Clock, log: o.Log, wake: make(chan struct{}, 1), kept: map[types.UID]T{}}
}

// run reads until ctx ends.
func (w *watched[T]) run(ctx context.Context) {
	quiet := logr.Discard()
	reflector := cache.NewReflectorWithOptions(w, nil, w, cache.ReflectorOptions{Name: "census of " + w.kind, TypeDescription: w.kind, Logger: &quiet, Clock: w.clock})
	for failures := 0; ctx.Err() == nil; {
		err := w.attempt(ctx, reflector)
		if ctx.Err() != nil {
			return
		}
		wait, wake := relist, (<-chan struct{})(nil)
		switch {
		case err == nil:
			failures = 0
		case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
			wait, wake = denied, w.wake
			w.lose(forbidden, err)
		case errors.Is(err, errTooMany):
			wait = denied
			w.lose(unreadable, err)
		default:
			wait = failed
			// Once is nothing: API servers restart.
			if failures++; failures > 1 {
				w.lose(unreadable, err)
			}
		}
		if !pause(ctx, w.clock, wait, wake) {
			return
		}
	}
}

func (w *watched[T]) attempt(ctx context.Context, reflector *cache.Reflector) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.mu.Lock()
	w.overflow = cancel
	w.mu.Unlock()
	err := reflector.ListAndWatchWithContext(ctx)
	if errors.Is(context.Cause(ctx), errTooMany) {
		return errTooMany
	}
	return err
}

// retry tries at once what was denied.
func (w *watched[T]) retry() { poke(w.wake) }

// lose forgets the objects, for they cannot be read any more.
func (w *watched[T]) lose(is state, err error) {
	w.mu.Lock()
	before := w.is
	w.is, w.kept = is, map[types.UID]T{}
	w.mu.Unlock()
	if before == is {
		return
	}
	w.log.Info("The capacity of the cluster is not known: its "+w.kind+" cannot be read", "error", err.Error())
	w.changed()
}

func (w *watched[T]) state() state {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.is
}

func (w *watched[T]) len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.kept)
}

// values are a snapshot.
func (w *watched[T]) values() iter.Seq[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Values(maps.Clone(w.kept))
}

// IsWatchListSemanticsUnSupported has the reflector list before it watches.
func (w *watched[T]) IsWatchListSemanticsUnSupported() bool { return true }

// ListWithContext is all pages, without what is not kept. They are never asked for as
// "whatever is there": of that API servers make no pages.
func (w *watched[T]) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	o.FieldSelector, o.Limit, o.ResourceVersion, o.ResourceVersionMatch, o.Continue = w.selector, pageSize, "", "", ""
	all := &metav1.List{}
	for {
		page, err := w.list(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", w.kind, err)
		}
		from, err := meta.ListAccessor(page)
		if err != nil {
			return nil, fmt.Errorf("reading a list of %s: %w", w.kind, err)
		}
		err = meta.EachListItem(page, func(object runtime.Object) error {
			all.Items = append(all.Items, runtime.RawExtension{Object: w.lighten(object)})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading a list of %s: %w", w.kind, err)
		}
		if len(all.Items) > w.most {
			return nil, errTooMany
		}
		if o.Continue = from.GetContinue(); o.Continue == "" {
			all.ResourceVersion = from.GetResourceVersion()
			return all, nil
		}
	}
}

// List is not used by the reflector.
func (w *watched[T]) List(o metav1.ListOptions) (runtime.Object, error) {
	return w.ListWithContext(context.Background(), o)
}

// WatchWithContext are events, one whole object at a time: watch.Filter would leave a
// goroutine behind when nobody reads on.
func (w *watched[T]) WatchWithContext(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.FieldSelector = w.selector
	events, err := w.watch(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", w.kind, err)
	}
	// Not before: a right to list without one to watch is none.
	w.mu.Lock()
	w.is = known
	w.mu.Unlock()
	w.changed()
	return events, nil
}

// Watch is not used by the reflector.
func (w *watched[T]) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return w.WatchWithContext(context.Background(), o)
}

// light is an object on its way from the API server to what is kept of it.
type light[T comparable] struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	value T
	// counts is false for an object that counts for nothing.
	counts bool
}

// DeepCopyObject implements runtime.Object.
func (l *light[T]) DeepCopyObject() runtime.Object {
	c := *l
	l.ObjectMeta.DeepCopyInto(&c.ObjectMeta)
	return &c
}

func (w *watched[T]) lighten(object runtime.Object) *light[T] {
	if l, ok := object.(*light[T]); ok {
		return l
	}
	l := &light[T]{}
	if is, err := meta.Accessor(object); err == nil {
		l.UID, l.ResourceVersion = is.GetUID(), is.GetResourceVersion()
	}
	l.value, l.counts = w.take(object)
	return l
}

// Add implements cache.ReflectorStore.
func (w *watched[T]) Add(object any) error { return w.put(object) }

// Update implements cache.ReflectorStore.
func (w *watched[T]) Update(object any) error { return w.put(object) }

func (w *watched[T]) put(object any) error {
	from, ok := object.(runtime.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	l := w.lighten(from)
	if !l.counts {
		return w.Delete(object)
	}
	w.mu.Lock()
	was, there := w.kept[l.UID]
	same := there && was == l.value
	full := !there && len(w.kept) >= w.most
	if !full {
		w.kept[l.UID] = l.value
	}
	overflow := w.overflow
	w.mu.Unlock()
	switch {
	case full:
		overflow(errTooMany)
	case !same:
		w.changed()
	}
	return nil
}

// Delete implements cache.ReflectorStore.
func (w *watched[T]) Delete(object any) error {
	from, ok := object.(metav1.Object)
	if !ok {
		return fmt.Errorf("%T has no UID", object)
	}
	uid := from.GetUID()
	w.mu.Lock()
	_, there := w.kept[uid]
	delete(w.kept, uid)
	w.mu.Unlock()
	if there {
		w.changed()
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (w *watched[T]) Replace(objects []any, _ string) error {
	kept := make(map[types.UID]T, len(objects))
	for _, object := range objects {
		if l, ok := object.(*light[T]); ok && l.counts {
			kept[l.UID] = l.value
		}
	}
	w.mu.Lock()
	w.kept = kept
	w.mu.Unlock()
	w.changed()
	return nil
}

// Resync implements cache.ReflectorStore.
func (w *watched[T]) Resync() error { return nil }
