package restore

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
)

// NewStore makes the store of the hub whose identity is in the namespace. The
// client must have no cache.
func NewStore(live client.Client, namespace string) Store {
	return store{live: live, key: types.NamespacedName{Namespace: namespace, Name: v1.HubIdentity}}
}

type store struct {
	live client.Client
	key  types.NamespacedName
}

func (s store) Read(ctx context.Context) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	c := &corev1.ConfigMap{}
	if err := s.live.Get(ctx, s.key, c); err != nil {
		return nil, fmt.Errorf("reading the hub's identity, ConfigMap %s: %w", s.key, err)
	}
	return c, nil
}

func (s store) Write(ctx context.Context, c *corev1.ConfigMap) error {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	if err := s.live.Update(ctx, c, client.FieldOwner(v1.FieldManager)); err != nil {
		return fmt.Errorf("writing the hub's identity, ConfigMap %s: %w", s.key, err)
	}
	return nil
}

func (s store) Cluster(ctx context.Context) (types.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	var namespace metav1.PartialObjectMetadata
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := s.live.Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, &namespace); err != nil {
		return "", fmt.Errorf("reading the UID of the hub's cluster, that of namespace %s: %w", metav1.NamespaceSystem, err)
	}
	return namespace.UID, nil
}

func (s store) Version(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	var page metav1.PartialObjectMetadataList
	page.SetGroupVersionKind(v1.GroupVersion.WithKind("MyAppList"))
	if err := s.live.List(ctx, &page, client.Limit(1)); err != nil {
		return "", fmt.Errorf("asking the hub's API server how far it is: %w", err)
	}
	return page.ResourceVersion, nil
}
