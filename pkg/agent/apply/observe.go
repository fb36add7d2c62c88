package apply

import (
	"context"
	"fmt"
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	selectors "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
	"github.com/example/myapp-hub/pkg/manifest"
)

// The cache indexes objects by the UID and by the name of their app.
const (
	indexAppUID  = "appUID"
	indexAppName = "appName"
)

// These annotations are nowhere but in the cache.
const (
	// annotationFields has the tree of the fields that an object has from us.
	annotationFields = "fields"
	// annotationCopy is on an object that has our labels from a controller.
	annotationCopy = "copy"
)

type kindKey = schema.GroupKind

type objectKey struct {
	kind kindKey
	types.NamespacedName
}

func (k objectKey) String() string { return k.kind.Kind + " " + k.NamespacedName.String() }

func keyOf(m manifest.Manifest) objectKey {
	return objectKey{m.GVK.GroupKind(), types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}
}

// Observed are the cached objects of an app.
type Observed struct {
	// app is the name of the app.
	app     string
	objects map[objectKey]*metav1.ObjectMeta
	// Deployments by name.
	deployments map[string]*appsv1.Deployment
	// whole are the objects that are cached whole.
	whole map[objectKey]*unstructured.Unstructured
}

func newObserved() Observed {
	return Observed{
		objects:     map[objectKey]*metav1.ObjectMeta{},
		deployments: map[string]*appsv1.Deployment{},
		whole:       map[objectKey]*unstructured.Unstructured{},
	}
}

// Empty is true when the cache shows no object of the app.
func (o Observed) Empty() bool { return len(o.objects) == 0 }

// Deployment is the cached Deployment of that name, nil if there is none.
func (o Observed) Deployment(name string) *appsv1.Deployment { return o.deployments[name] }

// HashOf is the content hash of the cached object that the manifest is about.
func (o Observed) HashOf(m manifest.Manifest) (hash string, ok bool) {
	object := o.objects[keyOf(m)]
	if object == nil {
		return "", false
	}
	return object.Annotations[v1.AnnotationContentHash], true
}

func (o Observed) wholeOf(m manifest.Manifest) *unstructured.Unstructured { return o.whole[keyOf(m)] }

func (o Observed) add(kind kindKey, m *metav1.ObjectMeta) {
	o.objects[objectKey{kind, types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}] = m
}

// Observe reads the app's objects from the cache. It makes no request.
func (e *Engine) Observe(ctx context.Context, owner Owner) (Observed, error) {
	seen := newObserved()
	seen.app = owner.Name
	for _, gvk := range e.watching(true) {
		if err := e.observeKind(ctx, gvk, owner, seen); err != nil {
			return seen, fmt.Errorf("reading cached %ss of %s: %w", gvk.Kind, owner, err)
		}
	}
	return seen, nil
}

func (e *Engine) observeKind(ctx context.Context, gvk schema.GroupVersionKind, owner Owner, seen Observed) error {
	list, err := e.listCached(ctx, gvk, appObjects(e.home(owner), string(owner.UID))...)
	if err != nil {
		return err
	}
	for _, object := range list {
		if isCopy(object) {
			continue
		}
		switch o := object.(type) {
		case *appsv1.Deployment:
			seen.deployments[o.Name] = o
			seen.add(gvk.GroupKind(), &o.ObjectMeta)
		case *metav1.PartialObjectMetadata:
			seen.add(gvk.GroupKind(), &o.ObjectMeta)
		case *unstructured.Unstructured:
			m := metaOf(o)
			seen.add(gvk.GroupKind(), m)
			seen.whole[objectKey{gvk.GroupKind(), types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}] = o
		}
	}
	return nil
}

// listCached lists cached objects of a kind in the type that watched gives.
func (e *Engine) listCached(ctx context.Context, gvk schema.GroupVersionKind, opts ...client.ListOption) ([]client.Object, error) {
	listGVK := gvk.GroupVersion().WithKind(gvk.Kind + "List")
	var objects []client.Object
	switch watched(gvk).(type) {
	case *appsv1.Deployment:
		var list appsv1.DeploymentList
		if err := e.cache.List(ctx, &list, opts...); err != nil {
			return nil, err
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case *metav1.PartialObjectMetadata:
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(listGVK)
		if err := e.cache.List(ctx, &list, opts...); err != nil {
			return nil, err
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	default:
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(listGVK)
		if err := e.cache.List(ctx, &list, opts...); err != nil {
			return nil, err
		}
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	return objects, nil
}

// StampsOf are the stamps of the cached objects of all apps that have or had a
// name.
func (e *Engine) StampsOf(ctx context.Context, app types.NamespacedName) ([]manifest.Stamp, error) {
	var stamps []manifest.Stamp
	for _, gvk := range e.watching(true) {
		named := []client.ListOption{client.MatchingFields{indexAppName: app.Name}, client.UnsafeDisableDeepCopy}
		list, err := e.listCached(ctx, gvk, named...)
		if err != nil {
			return nil, fmt.Errorf("reading cached %ss of %s: %w", gvk.Kind, app, err)
		}
		for _, o := range list {
			if isCopy(o) || e.appOf(o).NamespacedName != app {
				continue
			}
			stamps = append(stamps, manifest.StampOf(o.GetAnnotations()))
		}
	}
	return stamps, nil
}

// metaOf is what the engine needs of an object's metadata.
func metaOf(o metav1.Object) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
		DeletionTimestamp: o.GetDeletionTimestamp(), Finalizers: o.GetFinalizers(),
		Labels: o.GetLabels(), Annotations: o.GetAnnotations(),
	}
}

// CacheOptions are the options of the cache an Engine reads: only what this hub
// placed on this member, in its namespace if it is a namespaced one. An agent
// learns its hub's identity only from its Works, and leaves hubID empty.
func CacheOptions(hubID, member, namespace string) cache.Options {
	set := labels.Set{v1.LabelMember: member}
	if hubID != "" {
		set[v1.LabelHubID] = hubID
	}
	options := cache.Options{
		DefaultLabelSelector: labels.SelectorFromSet(set), DefaultTransform: slim, NewInformer: newInformer,
		// Reading a kind that is not watched any more must not begin a watch, and wait for it.
		ReaderFailOnMissingInformer: true,
	}
	if namespace != "" {
		// A cache of namespaces is one of caches, which ends otherwise. By this selector
		// requests are for the namespace, too.
		options.DefaultFieldSelector = selectors.OneTermEqualSelector("metadata.namespace", namespace)
	}
	return options
}

// slim keeps what the engine and health read of an object. It may see an object
// again that it has made slim.
func slim(object any) (any, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone or list: nothing to slim
	}
	annotations := accessor.GetAnnotations()
	kept := stampsOf(annotations)
	if _, whole := object.(*unstructured.Unstructured); whole && annotations != nil {
		kept = maps.Clone(annotations) // a health rule may read them
	}
	if entries := accessor.GetManagedFields(); len(entries) > 0 {
		kept[annotationFields] = fields.Ours(entries, v1.FieldManager)
	} else if tree, slimmed := annotations[annotationFields]; slimmed {
		kept[annotationFields] = tree
	}
	if isCopy(accessor) {
		kept[annotationCopy] = ""
	}
	accessor.SetManagedFields(nil)
	accessor.SetOwnerReferences(nil)
	if len(kept) == 0 {
		kept = nil
	}
	accessor.SetAnnotations(kept)
	if d, ok := object.(*appsv1.Deployment); ok {
		d.Spec = appsv1.DeploymentSpec{Replicas: d.Spec.Replicas, ProgressDeadlineSeconds: d.Spec.ProgressDeadlineSeconds}
	}
	return object, nil
}

// stampsOf keeps the annotations that the engine reads.
func stampsOf(annotations map[string]string) map[string]string {
	kept := map[string]string{}
	for _, key := range []string{
		v1.AnnotationContentHash, v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash,
		v1.AnnotationHubEpoch, v1.AnnotationHubVersion, v1.AnnotationKeptReplicas,
	} {
		if value, ok := annotations[key]; ok {
			kept[key] = value
		}
	}
	return kept
}

// byLabel is the index function of objects by one of their labels.
func byLabel(label string) client.IndexerFunc {
	return func(o client.Object) []string {
		if value := o.GetLabels()[label]; value != "" {
			return []string{value}
		}
		return nil
	}
}
