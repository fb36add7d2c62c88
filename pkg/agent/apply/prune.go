package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// prune deletes the owner's cached objects that are not among the manifests.
func (e *Engine) prune(ctx context.Context, owner Owner, manifests []manifest.Manifest, observed Observed) ([]Change, error) {
	stale := maps.Clone(observed.objects)
	for _, m := range manifests {
		delete(stale, keyOf(m))
	}
	keys := slices.SortedFunc(maps.Keys(stale), func(a, b objectKey) int {
		return strings.Compare(a.kind.String()+a.Name, b.kind.String()+b.Name)
	})
	var changes []Change
	for _, key := range keys {
		r, err := e.resource(gvkOf(key.kind), key.Namespace)
		if err != nil {
			return changes, err
		}
		live, err := get(ctx, r, key.Name)
		if err != nil {
			return changes, fmt.Errorf("reading %s %s before pruning it: %w", key.kind.Kind, key.NamespacedName, err)
		}
		if live == nil || live.DeletionTimestamp != nil || !e.ours(live, owner) {
			continue
		}
		if err := deleteLive(ctx, r, live); err != nil {
			return changes, fmt.Errorf("pruning %s %s: %w", key.kind.Kind, key.NamespacedName, err)
		}
		e.memory.removed(key)
		changes = append(changes, Change{Object: key.kind.Kind + " " + key.String(), Action: Pruned})
	}
	return changes, nil
}

// Removal is how far the removal of an app has come.
type Removal struct {
	// Done is true when a live read shows that no object carries our marks.
	Done bool
	// Left names what is still there: "Deployment shop/web (finalizers: a, b)".
	Left []string
}

// Strays confirms by a live read that the owner has objects on the cluster. The
// cache alone may still show what is already gone.
func (e *Engine) Strays(ctx context.Context, owner Owner) (bool, error) {
	removal, err := e.left(ctx, owner)
	return !removal.Done && err == nil, err
}

// Remove takes the owner's objects off the cluster: it deletes them, or, with
// policy Orphan, takes the hub's marks off them. What is there is read live and
// each object is confirmed to be the owner's; workloads go first. It is done
// when a second live read finds nothing. An error means that nothing is known.
func (e *Engine) Remove(ctx context.Context, owner Owner, policy v1.DeletionPolicy) (Removal, error) {
	found := 0
	for _, gvk := range slices.Backward(Kinds()) {
		objects, r, err := e.listLive(ctx, gvk, owner)
		if err != nil {
			return Removal{}, err
		}
		found += len(objects)
		for i := range objects {
			if err := e.removeOne(ctx, r, owner, &objects[i], policy); err != nil {
				return Removal{}, fmt.Errorf("removing %s %s/%s: %w", gvk.Kind, owner.Namespace, objects[i].Name, err)
			}
			e.memory.removed(objectKey{gvk.GroupKind(), types.NamespacedName{Namespace: owner.Namespace, Name: objects[i].Name}})
		}
	}
	if found == 0 {
		return Removal{Done: true}, nil
	}
	return e.left(ctx, owner)
}

// left is a live read of what is still there.
func (e *Engine) left(ctx context.Context, owner Owner) (Removal, error) {
	var removal Removal
	for _, gvk := range Kinds() {
		objects, _, err := e.listLive(ctx, gvk, owner)
		if err != nil {
			return Removal{}, err
		}
		for _, o := range objects {
			name := fmt.Sprintf("%s %s/%s", gvk.Kind, o.Namespace, o.Name)
			if !e.ours(&o, owner) {
				name += " (marked by hub " + o.Labels[v1.LabelHubID] + ", which is not this one)"
			}
			if len(o.Finalizers) > 0 {
				name += " (finalizers: " + strings.Join(o.Finalizers, ", ") + ")"
			}
			removal.Left = append(removal.Left, name)
		}
	}
	removal.Done = len(removal.Left) == 0
	return removal, nil
}

// listLive reads the owner's objects of a kind from the API server: those of the
// app's UID on this member. They are not all ours: the hub ID may be another's.
func (e *Engine) listLive(ctx context.Context, gvk schema.GroupVersionKind, owner Owner) ([]metav1.PartialObjectMetadata, metadata.ResourceInterface, error) {
	r, err := e.resource(gvk, owner.Namespace)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	selector := labels.Set{v1.LabelMember: e.member, v1.LabelAppUID: string(owner.UID)}
	list, err := r.List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil, nil, fmt.Errorf("listing the %ss of %s: %w", gvk.Kind, owner, err)
	}
	if list.Continue != "" {
		return nil, nil, fmt.Errorf("listing the %ss of %s: the list is incomplete", gvk.Kind, owner)
	}
	return list.Items, r, nil
}

// removeOne removes an object if a live read says that it is ours. A conflict
// means that it has changed since; it is read again and the rest is as before.
func (e *Engine) removeOne(ctx context.Context, r metadata.ResourceInterface, owner Owner, live *metav1.PartialObjectMetadata, policy v1.DeletionPolicy) error {
	const tries = 4
	for try := 1; ; try++ {
		if live == nil || !e.ours(live, owner) {
			return nil
		}
		var err error
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

// deleteLive deletes exactly the object that was read. A conflict is an error:
// the object has changed since and must be read again.
func deleteLive(ctx context.Context, r metadata.ResourceInterface, live *metav1.PartialObjectMetadata) error {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	background := metav1.DeletePropagationBackground
	err := r.Delete(ctx, live.Name, metav1.DeleteOptions{
		Preconditions:     &metav1.Preconditions{UID: &live.UID, ResourceVersion: &live.ResourceVersion},
		PropagationPolicy: &background,
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return classify(err)
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
			v1.AnnotationContentHash: nil, v1.AnnotationAppGeneration: nil,
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

func gvkOf(kind schema.GroupKind) schema.GroupVersionKind {
	for _, gvk := range Kinds() {
		if gvk.GroupKind() == kind {
			return gvk
		}
	}
	return kind.WithVersion("")
}

// Unreachable is true when an error is not an API server's answer: the cluster
// may be gone.
func Unreachable(err error) bool {
	var answered apierrors.APIStatus
	return err != nil && !errors.As(err, &answered)
}
