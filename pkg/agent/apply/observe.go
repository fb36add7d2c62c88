package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	selectors "k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
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
	// app is the name of the app, home the namespace of its objects.
	app, home string
	objects   map[objectKey]*record
}

func newObserved(app, home string) Observed {
	return Observed{app: app, home: home, objects: map[objectKey]*record{}}
}

// showing is what is observed when nothing but one object is.
func showing(m manifest.Manifest, r *record) Observed {
	o := newObserved(m.Name, m.Namespace)
	o.objects[keyOf(m)] = r
	return o
}

// Empty is true when the cache shows no object of the app.
func (o Observed) Empty() bool { return len(o.objects) == 0 }

// Deployment is the cached Deployment of that name, nil if there is none.
func (o Observed) Deployment(name string) *appsv1.Deployment {
	r := o.objects[objectKey{deploymentGVK.GroupKind(), types.NamespacedName{Namespace: o.home, Name: name}}]
	if r == nil || r.deployment == nil {
		return nil
	}
	return r.asDeployment()
}

// HashOf is the content hash of the cached object that the manifest is about.
func (o Observed) HashOf(m manifest.Manifest) (hash string, ok bool) {
	r := o.objects[keyOf(m)]
	if r == nil {
		return "", false
	}
	return r.note(v1.AnnotationContentHash), true
}

// wholeOf is the cached object that the manifest is about, nil if there is none.
func (o Observed) wholeOf(m manifest.Manifest) *unstructured.Unstructured {
	if r := o.objects[keyOf(m)]; r != nil {
		return r.whole
	}
	return nil
}

func (o Observed) add(kind kindKey, r *record) {
	o.objects[objectKey{kind, r.namespacedName()}] = r
}

// Observe reads the app's objects from the cache. It makes no request.
func (e *Engine) Observe(owner Owner) Observed {
	seen := newObserved(owner.Name, e.home(owner))
	for _, watch := range e.shown() {
		for _, r := range watch.store.of(owner.UID) {
			if r.namespace == seen.home && !r.isCopy() {
				seen.add(watch.gvk.GroupKind(), r)
			}
		}
	}
	return seen
}

// StampsOf are the stamps of the cached objects of all apps that have or had a
// name.
func (e *Engine) StampsOf(app types.NamespacedName) []manifest.Stamp {
	var stamps []manifest.Stamp
	for _, watch := range e.shown() {
		for _, r := range watch.store.named(app) {
			if !r.isCopy() {
				stamps = append(stamps, r.stamp())
			}
		}
	}
	return stamps
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
