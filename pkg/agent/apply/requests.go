package apply

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	v1 "github.com/example/myapp-hub/api/v1"
)

// createOnly is a resourceVersion that only the creation of an object passes:
// an API server answers 409 to an apply that carries it for an object that
// exists, because no object is at version 1 of the store.
const createOnly = "1"

// resource is the client for the metadata of a kind's objects in a namespace.
func (e *Engine) resource(gvk schema.GroupVersionKind, namespace string) (metadata.ResourceInterface, error) {
	mapping, err := e.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the resource of %s: %w", gvk, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return e.metadata.Resource(mapping.Resource), nil
	}
	return e.metadata.Resource(mapping.Resource).Namespace(namespace), nil
}

// whole is the client for whole objects of a kind, which is needed only to say
// what somebody changed and whether an object is identical.
func (e *Engine) whole(gvk schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := e.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the resource of %s: %w", gvk, err)
	}
	return e.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// get is a live metadata read; a missing object is nil without an error.
func get(ctx context.Context, r metadata.ResourceInterface, name string) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	live, err := r.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return live, err
}

// getWhole is a live read; a missing object is nil without an error.
func getWhole(ctx context.Context, r dynamic.ResourceInterface, name string) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	live, err := r.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return live, err
}

// patch is one server-side apply; the answer is metadata only. With force, our
// own fields are taken back from whoever has them.
func patch(ctx context.Context, r metadata.ResourceInterface, name string, raw []byte, force bool) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	written, err := r.Patch(ctx, name, types.ApplyPatchType, escaped(raw), metav1.PatchOptions{FieldManager: v1.FieldManager, Force: &force})
	return written, classify(err)
}

// dryRun is what an apply would make of an object.
func dryRun(ctx context.Context, r dynamic.ResourceInterface, name string, raw []byte) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	force := true
	result, err := r.Patch(ctx, name, types.ApplyPatchType, escaped(raw), metav1.PatchOptions{
		FieldManager: v1.FieldManager, Force: &force, DryRun: []string{metav1.DryRunAll},
	})
	return result, classify(err)
}

// ErrHeld ends a pass in whose middle the hub was found to be restored.
var ErrHeld = errors.New("the hub holds: nothing is written")

// mayWrite is ErrHeld while the hub holds.
func (e *Engine) mayWrite() error {
	if e.held == nil {
		return nil
	}
	if message, held := e.held(); held {
		return fmt.Errorf("%w: %s", ErrHeld, message)
	}
	return nil
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

// Unreachable is true when an error is not an API server's answer: the cluster
// may be gone.
func Unreachable(err error) bool {
	var answered apierrors.APIStatus
	var unknown *meta.NoKindMatchError
	return err != nil && !errors.As(err, &answered) && !errors.As(err, &unknown)
}
