package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	selectors "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
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
	deployments map[string]*deployment
	// whole are the objects that are cached whole.
	whole map[objectKey]*unstructured.Unstructured
}

func newObserved() Observed {
	return Observed{
		objects:     map[objectKey]*metav1.ObjectMeta{},
		deployments: map[string]*deployment{},
		whole:       map[objectKey]*unstructured.Unstructured{},
	}
}

// Empty is true when the cache shows no object of the app.
func (o Observed) Empty() bool { return len(o.objects) == 0 }

// Deployment is the cached Deployment of that name, nil if there is none.
func (o Observed) Deployment(name string) *appsv1.Deployment {
	if d := o.deployments[name]; d != nil {
		return d.whole()
	}
	return nil
}

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
func (e *Engine) Observe(owner Owner) Observed {
	seen := newObserved()
	seen.app = owner.Name
	home := e.home(owner)
	for _, watch := range e.shown() {
		for _, o := range watch.store.of(owner.UID) {
			if o.GetNamespace() == home && !isCopy(o) {
				seen.see(watch.gvk.GroupKind(), o)
			}
		}
	}
	return seen
}

// see adds a cached object.
func (o Observed) see(kind kindKey, object metav1.Object) {
	switch cached := object.(type) {
	case *deployment:
		o.deployments[cached.Name] = cached
		o.add(kind, &cached.ObjectMeta)
	case *metav1.PartialObjectMetadata:
		o.add(kind, &cached.ObjectMeta)
	case *unstructured.Unstructured:
		m := metaOf(cached)
		o.add(kind, m)
		o.whole[objectKey{kind, types.NamespacedName{Namespace: m.Namespace, Name: m.Name}}] = cached
	}
}

// StampsOf are the stamps of the cached objects of all apps that have or had a
// name.
func (e *Engine) StampsOf(app types.NamespacedName) []manifest.Stamp {
	var stamps []manifest.Stamp
	for _, watch := range e.shown() {
		for _, o := range watch.store.named(app) {
			if !isCopy(o) {
				stamps = append(stamps, manifest.StampOf(o.GetAnnotations()))
			}
		}
	}
	return stamps
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
		// What is read is read from the stores that follow the informers.
		ReaderFailOnMissingInformer: true,
	}
	if namespace != "" {
		// A cache of namespaces is one of caches, which ends otherwise. By this selector
		// requests are for the namespace, too.
		options.DefaultFieldSelector = selectors.OneTermEqualSelector("metadata.namespace", namespace)
	}
	return options
}
