package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// indexAppUID is the cache index of objects by the UID of their app.
const indexAppUID = "appUID"

var deploymentGVK = appsv1.SchemeGroupVersion.WithKind("Deployment")

// Kinds are the kinds the engine places, in the order in which they are applied.
func Kinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{corev1.SchemeGroupVersion.WithKind("Service"), deploymentGVK}
}

// Mapper knows the kinds the engine places, so that no discovery is needed to
// write to a cluster.
func Mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, gvk := range Kinds() {
		m.Add(gvk, meta.RESTScopeNamespace)
	}
	m.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	return m
}

// CacheOptions are the options of the cache an Engine reads: only what this hub
// placed on this member, metadata only, but for the status of workloads. An agent
// learns its hub's identity only from its Works, and leaves hubID empty.
func CacheOptions(hubID, member string) cache.Options {
	set := labels.Set{v1.LabelMember: member}
	if hubID != "" {
		set[v1.LabelHubID] = hubID
	}
	ours := labels.SelectorFromSet(set)
	byObject := map[client.Object]cache.ByObject{}
	for _, gvk := range Kinds() {
		byObject[watched(gvk)] = cache.ByObject{Label: ours, Transform: slim}
	}
	return cache.Options{ByObject: byObject}
}

// Watched are the objects whose informers an Engine needs.
func Watched() []client.Object {
	var objects []client.Object
	for _, gvk := range Kinds() {
		objects = append(objects, watched(gvk))
	}
	return objects
}

func watched(gvk schema.GroupVersionKind) client.Object {
	if gvk == deploymentGVK {
		return &appsv1.Deployment{}
	}
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(gvk)
	return o
}

// slim keeps what the engine and health read of an object.
func slim(object any) (any, error) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone or list: nothing to slim
	}
	accessor.SetManagedFields(nil)
	accessor.SetOwnerReferences(nil)
	if annotations := accessor.GetAnnotations(); annotations != nil {
		accessor.SetAnnotations(map[string]string{
			v1.AnnotationContentHash: annotations[v1.AnnotationContentHash],
		})
	}
	if d, ok := object.(*appsv1.Deployment); ok {
		d.Spec = appsv1.DeploymentSpec{Replicas: d.Spec.Replicas}
	}
	return object, nil
}

// byAppUID is the index function of indexAppUID.
func byAppUID(o client.Object) []string {
	if uid := o.GetLabels()[v1.LabelAppUID]; uid != "" {
		return []string{uid}
	}
	return nil
}
