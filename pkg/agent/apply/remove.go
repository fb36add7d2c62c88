package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Removal is how far the removal of an app has come.
type Removal struct {
	// Done is true when nothing is left that carries the app's marks.
	Done bool
	// Left names what is still there:
	// "Deployment shop/web (being deleted since 2026-01-31T12:00:00Z; finalizers: a, b)".
	Left []string
	// Refused says why nothing was removed: the order is not the newest.
	Refused *Change
	// Retry is when to look again, zero if it is done.
	Retry time.Duration
}

// Strays confirms by a live read that the owner has objects on the cluster. The
// cache alone may still show what is already gone.
func (e *Engine) Strays(ctx context.Context, owner Owner) (bool, error) {
	found, err := e.listAll(ctx, owner)
	return slices.ContainsFunc(found, func(l listing) bool { return len(l.objects) > 0 }) && err == nil, err
}

// Remove takes the owner's objects off the cluster: it deletes them, or, with
// policy Orphan, takes the hub's marks off them. What is there is read live and
// each object is confirmed to be the owner's; workloads go first. It is done
// when a second live read finds nothing, the first has found all that the cache
// shows, and no request without an answer can still be carried out. An error
// means that nothing is known.
func (e *Engine) Remove(ctx context.Context, owner Owner, policy v1.DeletionPolicy) (Removal, error) {
	e.memory.forget(owner.UID)
	cached := e.Observe(owner)
	found, err := e.listAll(ctx, owner)
	if err != nil {
		return Removal{}, err
	}
	for _, l := range found {
		for i := range l.objects {
			if change, newer := newerThan(owner, l.name(i), &l.objects[i]); newer && e.placed(&l.objects[i], owner) {
				return Removal{Refused: &change, Retry: retryRejected}, nil
			}
		}
	}
	for _, l := range slices.Backward(found) {
		for i := range l.objects {
			key := objectKey{l.gvk.GroupKind(), types.NamespacedName{Namespace: e.home(owner), Name: l.objects[i].Name}}
			if err := e.removeOne(ctx, l.client, owner, &l.objects[i], policy); err != nil {
				return Removal{}, fmt.Errorf("removing %s: %w", key, err)
			}
			e.memory.removed(key)
			delete(cached.objects, key)
		}
	}
	for key := range cached.objects {
		if !slices.ContainsFunc(found, func(l listing) bool { return l.gvk.GroupKind() == key.kind }) {
			continue // The cache of a kind that is gone stays as it was last seen.
		}
		return Removal{Left: []string{key.String() + " (watched, but not listed)"}, Retry: RetryTerminating}, nil
	}
	if !e.resumed() {
		return Removal{Left: []string{"what ConfigMap " + e.inventory().String() + " names, which cannot be read or watched"}, Retry: retryMended}, nil
	}
	return e.confirm(ctx, owner, found)
}

// confirm looks whether anything is left of what was found. Where there was nothing,
// nobody but this engine could have made anything since.
func (e *Engine) confirm(ctx context.Context, owner Owner, found []listing) (Removal, error) {
	var again []listing
	for _, l := range found {
		if len(l.objects) == 0 {
			continue
		}
		objects, _, err := e.listLive(ctx, l.gvk, owner)
		if err != nil {
			return Removal{}, err
		}
		again = append(again, listing{l.gvk, l.client, objects})
	}
	left := e.describeLeft(again, owner)
	if len(left) > 0 {
		return Removal{Left: left, Retry: RetryTerminating}, nil
	}
	if wait := e.unanswered.wait(e.member, owner.UID, time.Now()); wait > 0 {
		return Removal{Left: []string{"whatever the member may still do about a request that it did not answer"}, Retry: wait}, nil
	}
	return Removal{Done: true}, nil
}

// describeLeft names what was found to be still there.
func (e *Engine) describeLeft(found []listing, owner Owner) []string {
	var left []string
	for _, l := range found {
		for i := range l.objects {
			o, notes := &l.objects[i], []string(nil)
			if !e.placed(o, owner) {
				notes = append(notes, "marked by hub "+o.Labels[v1.LabelHubID]+", which is not this one")
			}
			if o.DeletionTimestamp != nil {
				notes = append(notes, "being deleted since "+o.DeletionTimestamp.UTC().Format(time.RFC3339))
			}
			if len(o.Finalizers) > 0 {
				notes = append(notes, "finalizers: "+strings.Join(o.Finalizers, ", "))
			}
			name := l.name(i)
			if len(notes) > 0 {
				name += " (" + strings.Join(notes, "; ") + ")"
			}
			left = append(left, name)
		}
	}
	return left
}

// listing are the owner's objects of a kind.
type listing struct {
	gvk     schema.GroupVersionKind
	client  metadata.ResourceInterface
	objects []metav1.PartialObjectMetadata
}

func (l listing) name(i int) string {
	return fmt.Sprintf("%s %s/%s", l.gvk.Kind, l.objects[i].Namespace, l.objects[i].Name)
}

// listAll reads the owner's objects from the API server, of every kind that is
// rendered and every other that is or was in use: workloads last. What is listed
// does not depend on the inventory alone, which somebody may have deleted.
func (e *Engine) listAll(ctx context.Context, owner Owner) ([]listing, error) {
	kinds := slices.DeleteFunc(e.watching(false), isRendered)
	listed := e.watching(true)
	kinds = append(kinds, slices.DeleteFunc(plainKinds(), func(gvk schema.GroupVersionKind) bool { return gvk == serviceGVK })...)
	var all []listing
	for _, gvk := range append(kinds, baseKinds()...) {
		objects, r, err := e.listLive(ctx, gvk, owner)
		switch {
		case apierrors.IsForbidden(err) && !slices.Contains(listed, gvk) && !e.isRecorded(gvk):
			continue // Nothing was ever made of what could not be listed.
		case (meta.IsNoMatchError(err) || apierrors.IsNotFound(err)) && !isRendered(gvk):
			// A proxy may answer like this, too.
			gone, err := e.gone(gvk.GroupKind())
			if err != nil {
				return nil, err
			}
			if !gone {
				return nil, fmt.Errorf("listing the %ss of %s: the cluster does not find what it serves", gvk.Kind, owner)
			}
			continue
		case err != nil:
			return nil, err
		}
		all = append(all, listing{gvk, r, objects})
	}
	return all, nil
}

// isRendered is true for the kinds that every API server serves.
func isRendered(gvk schema.GroupVersionKind) bool {
	return gvk == deploymentGVK || isPlain(gvk.GroupKind())
}

// gone is true when the cluster serves no version of a kind, by a discovery that
// remembers nothing.
func (e *Engine) gone(kind schema.GroupKind) (bool, error) {
	mapper, err := e.discover()
	if err != nil {
		return false, err
	}
	_, err = mapper.RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		return true, nil
	}
	return false, err
}

// listLive reads the owner's objects of a kind from the API server: those of the
// app's UID on this member, and those that lost the member's name, which the cache
// does not show. They are not all ours: the hub ID may be another's.
func (e *Engine) listLive(ctx context.Context, gvk schema.GroupVersionKind, owner Owner) ([]metav1.PartialObjectMetadata, metadata.ResourceInterface, error) {
	r, err := e.resource(gvk, e.home(owner))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	selector := labels.Set{v1.LabelAppUID: string(owner.UID)}
	list, err := r.List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the %ss of %s: %w", gvk.Kind, owner, err)
	}
	if list.Continue != "" {
		return nil, nil, fmt.Errorf("listing the %ss of %s: the list is incomplete", gvk.Kind, owner)
	}
	return slices.DeleteFunc(list.Items, func(o metav1.PartialObjectMetadata) bool {
		return isCopy(&o) || o.Labels[v1.LabelMember] != e.member && !e.unmarked(&o, owner)
	}), r, nil
}

// removeOne removes an object if a live read says that it is ours. A conflict
// means that it has changed since; it is read again and the rest is as before.
func (e *Engine) removeOne(ctx context.Context, r metadata.ResourceInterface, owner Owner, live *metav1.PartialObjectMetadata, policy v1.DeletionPolicy) error {
	const tries = 4
	for try := 1; ; try++ {
		if live == nil || !e.placed(live, owner) {
			return nil
		}
		err := e.mayWrite()
		if err != nil {
			return err
		}
		switch policy {
		case v1.DeletionOrphan:
			err = orphan(ctx, r, live)
		case v1.DeletionDelete:
			if live.DeletionTimestamp == nil {
				err = deleteLive(ctx, r, live)
			}
		default:
			return fmt.Errorf("deletionPolicy %q is not known here: upgrade what runs on this side", policy)
		}
		if !apierrors.IsConflict(err) || try == tries {
			return err
		}
		if live, err = get(ctx, r, live.Name); err != nil {
			return err
		}
	}
}

// orphan takes the hub's marks off exactly the object that was read. The app's
// own labels stay: Services select by them.
func orphan(ctx context.Context, r metadata.ResourceInterface, live *metav1.PartialObjectMetadata) error {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": live.UID, "resourceVersion": live.ResourceVersion,
		"labels": map[string]any{
			v1.LabelHubID: nil, v1.LabelMember: nil, v1.LabelAppUID: nil, v1.LabelManagedBy: nil,
		},
		"annotations": map[string]any{
			v1.AnnotationContentHash: nil, v1.AnnotationAppGeneration: nil, v1.AnnotationAppSpecHash: nil,
			v1.AnnotationHubEpoch: nil, v1.AnnotationHubVersion: nil, v1.AnnotationKeptReplicas: nil,
		},
	}})
	if err != nil {
		return fmt.Errorf("encoding the release of %s: %w", live.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	_, err = r.Patch(ctx, live.Name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: v1.FieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return classify(err)
}
