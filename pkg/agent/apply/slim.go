package apply

import (
	"maps"
	"unique"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
)

// slim keeps what the engine and health read of an object. It may see an object
// again that it has made slim.
func slim(object any) (any, error) {
	if _, slimmed := object.(*deployment); slimmed {
		return object, nil
	}
	accessor, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone or list: nothing to slim
	}
	kept := annotationsOf(accessor)
	_, whole := object.(*unstructured.Unstructured)
	if whole && accessor.GetAnnotations() != nil { // a health rule may read them
		all := maps.Clone(accessor.GetAnnotations())
		maps.Copy(all, kept)
		kept = all
	}
	accessor.SetManagedFields(nil)
	accessor.SetOwnerReferences(nil)
	accessor.SetAnnotations(orNil(kept))
	if !whole {
		accessor.SetLabels(orNil(marksOf(accessor.GetLabels())))
	}
	if d, ok := object.(*appsv1.Deployment); ok {
		return newDeployment(d), nil
	}
	return object, nil
}

// annotationsOf are the stamps of an object, and what stands in the cache for the
// rest of its metadata.
func annotationsOf(o metav1.Object) map[string]string {
	kept := stampsOf(o.GetAnnotations())
	if entries := o.GetManagedFields(); len(entries) > 0 {
		kept[annotationFields] = fields.Ours(entries, v1.FieldManager)
	} else if tree, slimmed := o.GetAnnotations()[annotationFields]; slimmed {
		kept[annotationFields] = tree
	}
	if isCopy(o) {
		kept[annotationCopy] = ""
	}
	return kept
}

// stampsOf keeps the annotations that the engine reads.
func stampsOf(annotations map[string]string) map[string]string {
	return pick(annotations, v1.AnnotationContentHash, v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash,
		v1.AnnotationHubEpoch, v1.AnnotationHubVersion, v1.AnnotationKeptReplicas)
}

// marksOf keeps the labels that say whose an object is.
func marksOf(labels map[string]string) map[string]string {
	return pick(labels, v1.LabelApp, v1.LabelAppUID, v1.LabelAppNamespace, v1.LabelHubID, v1.LabelMember)
}

// pick keeps some entries. Their keys and values are the same on many objects, and
// are kept once.
func pick(from map[string]string, keys ...string) map[string]string {
	picked := make(map[string]string, len(keys))
	for _, key := range keys {
		if value, ok := from[key]; ok {
			picked[key] = unique.Make(value).Value()
		}
	}
	return picked
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}
