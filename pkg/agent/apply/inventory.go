package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/impersonate"
)

// inventory is the ConfigMap that names the kinds of which apps have had objects
// on the member.
func (e *Engine) inventory() types.NamespacedName {
	const namespace, name = impersonate.OwnNamespace, "myapp-hub-inventory"
	return types.NamespacedName{Namespace: cmp.Or(e.namespace, namespace), Name: name}
}

// readInventory reads the kinds from the cluster. No inventory: no kind but
// those that are always watched was ever used.
func (e *Engine) readInventory(ctx context.Context) ([]schema.GroupVersionKind, error) {
	at := e.inventory()
	r, err := e.whole(configMapGVK, at.Namespace)
	if err != nil {
		return nil, err
	}
	live, err := getWhole(ctx, r, at.Name)
	if err != nil || live == nil {
		return nil, classify(err)
	}
	data, _ := live.Object["data"].(map[string]any)
	var kinds []schema.GroupVersionKind
	for _, key := range slices.Sorted(maps.Keys(data)) {
		version, _ := data[key].(string)
		kinds = append(kinds, schema.ParseGroupKind(key).WithVersion(version))
	}
	e.memory.setRecorded(kinds...)
	return kinds, nil
}

// isRecorded is true for a kind that is watched after a restart.
func (e *Engine) isRecorded(gvk schema.GroupVersionKind) bool {
	return isBase(gvk) || e.memory.isRecorded(gvk)
}

// recordKind adds a kind to the inventory of the cluster, which only grows.
func (e *Engine) recordKind(ctx context.Context, gvk schema.GroupVersionKind) error {
	if e.isRecorded(gvk) {
		return nil
	}
	at := e.inventory()
	err := e.writeInventory(ctx, gvk)
	if apierrors.IsNotFound(err) {
		if err := e.makeNamespace(ctx, at.Namespace, err); err != nil {
			return err
		}
		err = e.writeInventory(ctx, gvk)
	}
	if err != nil {
		return fmt.Errorf("recording in ConfigMap %s that apps have %s objects: %w", at, gvk.Kind, err)
	}
	e.memory.setRecorded(gvk)
	return nil
}

// writeInventory adds a kind to the inventory, which another hub may share.
func (e *Engine) writeInventory(ctx context.Context, gvk schema.GroupVersionKind) error {
	if err := e.mayWrite(); err != nil {
		return err
	}
	at := e.inventory()
	r, err := e.resource(configMapGVK, at.Namespace)
	if err != nil {
		return err
	}
	data := map[string]any{gvk.GroupKind().String(): gvk.Version}
	add, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	create, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "data": data,
		"metadata": map[string]any{"name": at.Name, "namespace": at.Namespace, "resourceVersion": createOnly},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*RequestTimeout)
	defer cancel()
	for {
		_, err = r.Patch(ctx, at.Name, types.MergePatchType, add, metav1.PatchOptions{FieldManager: v1.FieldManager})
		if !apierrors.IsNotFound(err) {
			return classify(err)
		}
		if _, err = patch(ctx, r, at.Name, create, false); !apierrors.IsConflict(err) {
			return err
		}
	}
}
