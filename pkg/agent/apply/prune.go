package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// prune deletes the owner's cached objects that are not among the manifests. An
// object that the cluster refuses to delete stays in the ChangeSet as long as it
// is there.
func (e *Engine) prune(ctx context.Context, owner Owner, manifests []manifest.Manifest, observed Observed) ([]Change, error) {
	stale := maps.Clone(observed.objects)
	for i := range manifests {
		delete(stale, keyOf(manifests[i]))
	}
	keys := slices.SortedFunc(maps.Keys(stale), func(a, b objectKey) int { return strings.Compare(a.String(), b.String()) })
	var changes []Change
	for _, key := range keys {
		change, err := e.pruneOne(ctx, owner, key)
		if err != nil {
			gone := manifest.Manifest{GVK: e.gvkOf(key.kind), Namespace: key.Namespace, Name: key.Name}
			refusal, ok := e.refusalOf(gone, fmt.Errorf("it is no longer wanted and cannot be removed: %w", err))
			if !ok {
				return changes, fmt.Errorf("pruning %s: %w", key, err)
			}
			changes = append(changes, refusal)
			continue
		}
		if change.Action != "" {
			changes = append(changes, change)
		}
	}
	return changes, nil
}

// pruneOne deletes an object if a live read says that it is still the owner's.
// The change is empty if there is nothing to do.
func (e *Engine) pruneOne(ctx context.Context, owner Owner, key objectKey) (Change, error) {
	r, err := e.resource(e.gvkOf(key.kind), key.Namespace)
	if err != nil {
		return Change{}, err
	}
	live, err := get(ctx, r, key.Name)
	if err != nil {
		return Change{}, classify(err)
	}
	switch {
	case live == nil: // An API server can say so in error: only the cache ends it.
		return Change{Object: key.String(), Action: Unchanged, Unseen: true}, nil
	case !e.ours(live, owner):
		return Change{}, nil
	}
	if live.DeletionTimestamp != nil {
		change := Change{Object: key.String(), Action: Refused, Reason: v1.ReasonTerminating, Retry: RetryTerminating}
		change.Message = Shorten(key.String() + ": it is no longer wanted and being deleted since " + live.DeletionTimestamp.UTC().Format(time.RFC3339))
		if len(live.Finalizers) > 0 {
			change.Message = Shorten(change.Message + ", held by the finalizers " + strings.Join(live.Finalizers, ", "))
		}
		return change, nil
	}
	if err := e.mayWrite(); err != nil {
		return Change{}, err
	}
	if err := deleteLive(ctx, r, live); err != nil {
		return Change{}, err
	}
	e.memory.removed(key)
	return Change{Object: key.String(), Action: Pruned, Unseen: true}, nil
}
