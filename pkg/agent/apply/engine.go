package apply

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// RequestTimeout is the deadline of every single request to a cluster. It is
// set by context: a timeout on the client would end watches too.
const RequestTimeout = 5 * time.Second

// Owner is the app on whose behalf the engine acts.
type Owner struct {
	// HubID is the identity of the app's hub.
	HubID           string
	Namespace, Name string
	UID             types.UID
}

// String names the app: "shop/web".
func (o Owner) String() string { return o.Namespace + "/" + o.Name }

// Engine puts manifests on one cluster. It is safe for concurrent use for
// different owners.
type Engine struct {
	reader client.Reader
	writer metadata.Interface
	mapper meta.RESTMapper
	member string
	memory *memory
}

// New makes the engine of a member. reader reads the cache made with
// CacheOptions, writer writes to and reads live from the same cluster, mapper
// knows the kinds.
func New(reader client.Reader, writer metadata.Interface, mapper meta.RESTMapper, member string) *Engine {
	return &Engine{reader: reader, writer: writer, mapper: mapper, member: member, memory: newMemory()}
}

// Member is the name of the member that the engine works on.
func (e *Engine) Member() string { return e.member }

// Index adds the index that the engine reads the cache by. It must be called
// before the cache is used; it does not wait for the cache.
func Index(ctx context.Context, c cache.Cache) error {
	for _, object := range Watched() {
		if err := c.IndexField(ctx, object, indexAppUID, byAppUID); err != nil {
			return fmt.Errorf("indexing %T by app: %w", object, err)
		}
	}
	return nil
}

// Observed are the cached objects of an app.
type Observed struct {
	objects map[objectKey]*metav1.ObjectMeta
	// Deployments by name.
	deployments map[string]*appsv1.Deployment
}

type objectKey struct {
	kind schema.GroupKind
	types.NamespacedName
}

func keyOf(m manifest.Manifest) objectKey {
	return objectKey{m.GVK.GroupKind(), types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}
}

// Empty is true when the cache shows no object of the app.
func (o Observed) Empty() bool { return len(o.objects) == 0 }

// Deployment is the cached Deployment of that name, nil if there is none.
func (o Observed) Deployment(name string) *appsv1.Deployment { return o.deployments[name] }

// Observe reads the app's objects from the cache. It makes no request.
func (e *Engine) Observe(ctx context.Context, owner Owner) (Observed, error) {
	seen := Observed{objects: map[objectKey]*metav1.ObjectMeta{}, deployments: map[string]*appsv1.Deployment{}}
	ofApp := []client.ListOption{
		client.InNamespace(owner.Namespace),
		client.MatchingFields{indexAppUID: string(owner.UID)},
		client.UnsafeDisableDeepCopy,
	}
	for _, gvk := range Kinds() {
		if gvk == deploymentGVK {
			var list appsv1.DeploymentList
			if err := e.reader.List(ctx, &list, ofApp...); err != nil {
				return seen, fmt.Errorf("reading cached Deployments of %s: %w", owner, err)
			}
			for i := range list.Items {
				seen.deployments[list.Items[i].Name] = &list.Items[i]
				seen.add(gvk, &list.Items[i].ObjectMeta)
			}
			continue
		}
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := e.reader.List(ctx, &list, ofApp...); err != nil {
			return seen, fmt.Errorf("reading cached %ss of %s: %w", gvk.Kind, owner, err)
		}
		for i := range list.Items {
			seen.add(gvk, &list.Items[i].ObjectMeta)
		}
	}
	return seen, nil
}

func (o Observed) add(gvk schema.GroupVersionKind, m *metav1.ObjectMeta) {
	o.objects[objectKey{gvk.GroupKind(), types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}] = m
}

// ours is true for an object that this hub placed on this member for the owner.
func (e *Engine) ours(m metav1.Object, owner Owner) bool {
	l := m.GetLabels()
	return l[v1.LabelHubID] == owner.HubID && l[v1.LabelMember] == e.member && l[v1.LabelAppUID] == string(owner.UID)
}

// resource is the client for a kind in the owner's namespace.
func (e *Engine) resource(gvk schema.GroupVersionKind, namespace string) (metadata.ResourceInterface, error) {
	mapping, err := e.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the resource of %s: %w", gvk, err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return e.writer.Resource(mapping.Resource), nil
	}
	return e.writer.Resource(mapping.Resource).Namespace(namespace), nil
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
