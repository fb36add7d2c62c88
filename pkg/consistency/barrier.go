package consistency

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	barrierPage   = 500
	barrierPoll   = 20 * time.Millisecond
	barrierRelist = 2 * time.Second
)

// errBehind says that the cache has not reached the live list.
var errBehind = errors.New("the cache is behind the API server")

// Barrier tells when the cache has reached what a consistent live list of a kind
// showed. A controller with the barrier among its sources starts no worker before
// that, so a new leader never acts on what an earlier leader has already changed.
type Barrier struct {
	// Kind is the kind whose objects are compared.
	Kind schema.GroupVersionKind
	// New makes an empty object of the kind, as the cache holds it.
	New func() client.Object
	// Live reads the API server, Cached the cache.
	Live, Cached client.Reader

	// turn lets one look at a time, the others wait for what it finds.
	turn    chan struct{}
	once    sync.Once
	reached bool
}

// Source is the barrier as a controller's source, without events. What one
// controller has waited for another need not list again.
func Source[request comparable](b *Barrier) source.TypedSyncingSource[request] {
	return barrierSource[request]{b}
}

type barrierSource[request comparable] struct{ *Barrier }

// Start implements source.TypedSource; there is nothing to start.
func (barrierSource[request]) Start(context.Context, workqueue.TypedRateLimitingInterface[request]) error {
	return nil
}

// String names the source in logs.
func (b *Barrier) String() string { return "barrier: " + b.Kind.Kind }

// WaitForSync lists the kind live, metadata only, and waits until the cache has
// every object of the list at its version or a later one. It lists again when
// that takes long: an object of the list may have been deleted since.
func (b *Barrier) WaitForSync(ctx context.Context) error {
	b.once.Do(func() { b.turn = make(chan struct{}, 1) })
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if b.reached {
		return nil
	}
	err := b.wait(ctx)
	b.reached = err == nil
	return err
}

func (b *Barrier) wait(ctx context.Context) error {
	for {
		want, err := b.list(ctx)
		if err != nil {
			return err
		}
		err = wait.PollUntilContextTimeout(ctx, barrierPoll, barrierRelist, true, func(ctx context.Context) (bool, error) {
			err := b.behind(ctx, want)
			if errors.Is(err, errBehind) {
				return false, nil
			}
			return err == nil, err
		})
		if err == nil || ctx.Err() != nil || !wait.Interrupted(err) {
			return err
		}
	}
}

func (b *Barrier) list(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	var all []metav1.PartialObjectMetadata
	var page metav1.PartialObjectMetadataList
	for {
		page.SetGroupVersionKind(b.Kind.GroupVersion().WithKind(b.Kind.Kind + "List"))
		if err := b.Live.List(ctx, &page, client.Limit(barrierPage), client.Continue(page.Continue)); err != nil {
			return nil, fmt.Errorf("listing %s live before the first decision: %w", b.Kind.Kind, err)
		}
		all = append(all, page.Items...)
		if page.Continue == "" {
			return all, nil
		}
		page.Items = nil
	}
}

// behind is errBehind until the cache has all of the list.
func (b *Barrier) behind(ctx context.Context, want []metav1.PartialObjectMetadata) error {
	for i := range want {
		cached := b.New()
		if err := b.Cached.Get(ctx, client.ObjectKeyFromObject(&want[i]), cached, client.UnsafeDisableDeepCopy); err != nil {
			if client.IgnoreNotFound(err) == nil {
				return errBehind
			}
			return fmt.Errorf("reading cached %s: %w", b.Kind.Kind, err)
		}
		order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), want[i].ResourceVersion)
		if err != nil {
			return fmt.Errorf("comparing versions of %s %s/%s: %w", b.Kind.Kind, want[i].Namespace, want[i].Name, err)
		}
		if order < 0 {
			return errBehind
		}
	}
	return nil
}
