package hub

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/example/myapp-hub/api/v1"
)

// hubID is the hub's identity on members: a UUID in a ConfigMap that is made at
// the first start and restored with a backup.
func hubID(ctx context.Context, c client.Client, namespace string) (string, error) {
	key := types.NamespacedName{Namespace: namespace, Name: v1.HubIdentity}
	var identity corev1.ConfigMap
	err := c.Get(ctx, key, &identity)
	if apierrors.IsNotFound(err) {
		if err := neverPlaced(ctx, c, key); err != nil {
			return "", err
		}
		identity = corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1.HubIdentity, Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy}},
			Data:       map[string]string{v1.HubIdentityKey: string(uuid.NewUUID())},
		}
		err = c.Create(ctx, &identity)
		if apierrors.IsAlreadyExists(err) {
			err = c.Get(ctx, key, &identity)
		}
	}
	if err != nil {
		return "", fmt.Errorf("reading the hub's identity, ConfigMap %s: %w", key, err)
	}
	id := identity.Data[v1.HubIdentityKey]
	if id == "" {
		return "", fmt.Errorf("ConfigMap %s has no %s: restore it from a backup; a new identity would not know what the old one placed", key, v1.HubIdentityKey)
	}
	return id, nil
}

// neverPlaced refuses to make a new identity for a hub that has already placed
// apps: the new one would take everything on the members for gone.
func neverPlaced(ctx context.Context, c client.Client, key types.NamespacedName) error {
	var apps v1.MyAppList
	if err := c.List(ctx, &apps); err != nil {
		return fmt.Errorf("looking for apps that were placed before: %w", err)
	}
	for i := range apps.Items {
		if a := &apps.Items[i]; controllerutil.ContainsFinalizer(a, v1.Finalizer) || len(a.Status.Placements) > 0 {
			return fmt.Errorf("the hub's identity, ConfigMap %s, is missing although MyApp %s/%s was placed: restore it with the value that the label %s has on the members' objects",
				key, a.Namespace, a.Name, v1.LabelHubID)
		}
	}
	return nil
}
