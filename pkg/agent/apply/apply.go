package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// createOnly is a resourceVersion that only the creation of an object passes:
// an API server answers 409 to an apply that carries it for an object that
// exists, because no object is at version 1 of the store.
const createOnly = "1"

// Apply brings the owner's objects to the manifests, in their order, and then
// prunes what is no longer wanted. observed must have been read after the cache
// was synced. An object that the cluster refuses is in the ChangeSet; the
// objects after it are not tried, and nothing is pruned. The error is of a kind
// that a retry may mend.
func (e *Engine) Apply(ctx context.Context, owner Owner, manifests []manifest.Manifest, observed Observed) (ChangeSet, error) {
	set := ChangeSet{Hash: manifest.SetHash(manifests)}
	for _, m := range manifests {
		change, err := e.applyOne(ctx, owner, m, observed)
		if err != nil {
			refused, ok := refusal(m, err)
			if !ok {
				return set, fmt.Errorf("applying %s: %w", m, err)
			}
			change = refused
		}
		set.Changes = append(set.Changes, change)
		if change.Action == Refused {
			return set, nil
		}
	}
	pruned, err := e.prune(ctx, owner, manifests, observed)
	set.Changes = append(set.Changes, pruned...)
	return set, err
}

// Compare is Apply without the writes: an object that Apply would write is
// refused, for the reason given.
func Compare(manifests []manifest.Manifest, observed Observed, reason, message string) ChangeSet {
	set := ChangeSet{Hash: manifest.SetHash(manifests)}
	for _, m := range manifests {
		change := Change{Object: m.String(), Action: Unchanged}
		cached := observed.objects[keyOf(m)]
		if cached == nil || cached.Annotations[v1.AnnotationContentHash] != m.Hash {
			change = Change{Object: m.String(), Action: Refused, Reason: reason, Message: m.String() + " is not as wanted: " + message}
		}
		set.Changes = append(set.Changes, change)
	}
	return set
}

func (e *Engine) applyOne(ctx context.Context, owner Owner, m manifest.Manifest, observed Observed) (Change, error) {
	known := observed.objects[keyOf(m)]
	newer := e.memory.newer(keyOf(m), known)
	if newer != nil {
		known = newer
	}
	switch {
	case known == nil:
		return e.create(ctx, owner, m)
	case known.DeletionTimestamp != nil:
		return terminating(m), nil
	case known.Annotations[v1.AnnotationContentHash] == m.Hash:
		return Change{Object: m.String(), Action: Unchanged, Unseen: newer != nil}, nil
	default:
		return e.update(ctx, m, known.UID)
	}
}

// create applies an object that the cache does not show. If it exists all the
// same, a live read decides: ours means that the cache is behind. What is known
// to be somebody else's is read first, so that waiting for it costs no write.
func (e *Engine) create(ctx context.Context, owner Owner, m manifest.Manifest) (Change, error) {
	if e.memory.isForeign(keyOf(m)) {
		if change, exists, err := e.existing(ctx, owner, m); exists || err != nil {
			return change, err
		}
	}
	if err := e.ensureNamespace(ctx, m.Namespace); err != nil {
		return Change{}, err
	}
	first, err := withMetadata(m.Raw, "resourceVersion", createOnly)
	if err != nil {
		return Change{}, err
	}
	err = e.patch(ctx, m, first)
	if apierrors.IsNotFound(err) {
		e.memory.setNamespace(m.Namespace, false)
		return Change{}, err
	}
	if !apierrors.IsConflict(err) {
		return Change{Object: m.String(), Action: Created}, err
	}
	change, exists, err := e.existing(ctx, owner, m)
	if err == nil && !exists {
		err = fmt.Errorf("%s vanished while it was being applied", m)
	}
	return change, err
}

// existing decides by a live read about an object that the cache does not show.
func (e *Engine) existing(ctx context.Context, owner Owner, m manifest.Manifest) (change Change, exists bool, err error) {
	r, err := e.resource(m.GVK, m.Namespace)
	if err != nil {
		return Change{}, false, err
	}
	live, err := get(ctx, r, m.Name)
	e.memory.setForeign(keyOf(m), live != nil && !e.ours(live, owner))
	switch {
	case err != nil:
		return Change{}, false, classify(err)
	case live == nil:
		return Change{}, false, nil
	case live.DeletionTimestamp != nil:
		return terminating(m), true, nil
	case !e.ours(live, owner):
		return notOwned(m, live), true, nil
	case live.Annotations[v1.AnnotationContentHash] == m.Hash:
		return Change{Object: m.String(), Action: Unchanged}, true, nil
	default:
		change, err = e.update(ctx, m, live.UID)
		return change, true, err
	}
}

// update applies an object that exists; the UID keeps it from being recreated.
func (e *Engine) update(ctx context.Context, m manifest.Manifest, uid types.UID) (Change, error) {
	later, err := withMetadata(m.Raw, "uid", string(uid))
	if err != nil {
		return Change{}, err
	}
	return Change{Object: m.String(), Action: Updated}, e.patch(ctx, m, later)
}

// ensureNamespace makes a namespace that is missing, and looks only once.
func (e *Engine) ensureNamespace(ctx context.Context, name string) error {
	if e.memory.namespaceKnown(name) {
		return nil
	}
	r, err := e.resource(corev1.SchemeGroupVersion.WithKind("Namespace"), "")
	if err != nil {
		return err
	}
	live, err := get(ctx, r, name)
	if err != nil {
		return fmt.Errorf("looking for Namespace %s: %w", name, classify(err))
	}
	if live == nil {
		raw, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{
				"name": name, "resourceVersion": createOnly,
				"labels": map[string]any{v1.LabelManagedBy: v1.ManagedBy},
			},
		})
		if err != nil {
			return fmt.Errorf("encoding Namespace %s: %w", name, err)
		}
		if _, err := patch(ctx, r, name, raw); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("creating Namespace %s: %w", name, err)
		}
	}
	e.memory.setNamespace(name, true)
	return nil
}

func (e *Engine) patch(ctx context.Context, m manifest.Manifest, raw []byte) error {
	r, err := e.resource(m.GVK, m.Namespace)
	if err != nil {
		return err
	}
	written, err := patch(ctx, r, m.Name, raw)
	if err == nil {
		e.memory.wrote(keyOf(m), written)
	}
	return err
}

// patch is one server-side apply. Our own fields are taken back by force; the
// answer is metadata only.
func patch(ctx context.Context, r metadata.ResourceInterface, name string, raw []byte) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	force := true
	written, err := r.Patch(ctx, name, types.ApplyPatchType, raw, metav1.PatchOptions{FieldManager: v1.FieldManager, Force: &force})
	return written, classify(err)
}

// withMetadata adds a string field to the metadata of an object without
// decoding the rest of it.
func withMetadata(raw []byte, field, value string) ([]byte, error) {
	const open = `"metadata":{`
	i := bytes.Index(raw, []byte(open))
	if i < 0 {
		return nil, fmt.Errorf("manifest has no metadata")
	}
	i += len(open)
	out := make([]byte, 0, len(raw)+len(field)+len(value)+6)
	out = append(out, raw[:i]...)
	out = fmt.Appendf(out, "%q:%q,", field, value)
	return append(out, raw[i:]...), nil
}

func terminating(m manifest.Manifest) Change {
	return Change{
		Object: m.String(), Action: Refused, Reason: v1.ReasonTerminating,
		Message: m.String() + " is being deleted on the member; it is applied again once it is gone",
	}
}

func notOwned(m manifest.Manifest, live metav1.Object) Change {
	whose := "something else made it"
	if l := live.GetLabels(); l[v1.LabelHubID] != "" {
		whose = fmt.Sprintf("it belongs to app %s (UID %s) of hub %s", l[v1.LabelApp], l[v1.LabelAppUID], l[v1.LabelHubID])
	}
	return Change{
		Object: m.String(), Action: Refused, Reason: v1.ReasonNotOwned,
		Message: fmt.Sprintf("%s exists on the member and is not this app's: %s. Delete or rename it there, or rename the MyApp", m, whose),
	}
}
