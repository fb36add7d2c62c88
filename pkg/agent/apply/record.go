package apply

import (
	"unique"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
	"github.com/example/myapp-hub/pkg/manifest"
)

// record is what is kept of an object on the cluster: what the engine and health read.
// A hub has very many. Two maps and the API's own type would be ten times as large, and
// most texts are the same on many members. Records are immutable.
type record struct {
	namespace, name string
	uid             types.UID
	version         string
	generation      int64
	deleted         *metav1.Time
	finalizers      []string
	// marks and notes are the same on many members, member on all objects of one.
	marks  unique.Handle[marks]
	notes  unique.Handle[notes]
	member unique.Handle[string]
	// deployment is set for Deployments, whole for objects of a kind that is cached
	// whole.
	deployment *deployment
	whole      *unstructured.Unstructured
}

// marks are the labels that say whose an object is, but for the member, in the order of
// markKeys; notes the annotations that the engine reads, in that of noteKeys. One that is missing is
// empty.
type (
	marks [4]string
	notes [8]string
)

func markKeys() marks {
	return marks{v1.LabelApp, v1.LabelAppUID, v1.LabelAppNamespace, v1.LabelHubID}
}

func noteKeys() notes {
	return notes{
		v1.AnnotationContentHash, v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash, v1.AnnotationHubEpoch,
		v1.AnnotationHubVersion, v1.AnnotationKeptReplicas, annotationFields, annotationCopy,
	}
}

// These notes are on no object of the cluster.
const (
	// annotationFields has the tree of the fields that an object has from us.
	annotationFields = "fields"
	// annotationCopy is "true" on an object that has our labels from a controller.
	annotationCopy = "copy"
)

// newRecord keeps what is read of an object.
func newRecord(o metav1.Object) *record {
	r := &record{
		namespace: unique.Make(o.GetNamespace()).Value(), name: o.GetName(), uid: o.GetUID(), version: o.GetResourceVersion(),
		generation: o.GetGeneration(), deleted: o.GetDeletionTimestamp(), finalizers: o.GetFinalizers(),
	}
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	m, n := markKeys(), noteKeys()
	for i, key := range m {
		m[i] = labels[key]
	}
	for i, key := range n {
		switch key {
		case annotationFields:
			n[i] = fields.Ours(o.GetManagedFields(), v1.FieldManager)
		case annotationCopy:
			n[i] = ""
			if isCopy(o) {
				n[i] = "true"
			}
		default:
			n[i] = annotations[key]
		}
	}
	r.marks, r.notes, r.member = unique.Make(m), unique.Make(n), unique.Make(labels[v1.LabelMember])
	return r
}

// recordOf is the record of what an informer tells of, nil if that is no object. An
// object that is cached whole loses what no health rule may read.
func recordOf(object any) *record {
	switch o := object.(type) {
	case *record:
		return o
	case toolscache.DeletedFinalStateUnknown:
		return recordOf(o.Obj)
	case *unstructured.Unstructured:
		r := newRecord(o)
		o.SetManagedFields(nil)
		o.SetOwnerReferences(nil)
		r.whole = o
		return r
	case *appsv1.Deployment:
		r := newRecord(o)
		r.deployment = newDeployment(o)
		return r
	}
	o, err := meta.Accessor(object)
	if err != nil {
		return nil
	}
	return newRecord(o)
}

// slim makes records of what informers have read; a tombstone passes. It may see what
// it has made.
func slim(object any) (any, error) {
	if _, gone := object.(toolscache.DeletedFinalStateUnknown); gone {
		return object, nil
	}
	if r := recordOf(object); r != nil {
		return r, nil
	}
	return object, nil
}

// mark is the value of a label of the marks, note that of an annotation.
func (r *record) mark(label string) string {
	for i, key := range markKeys() {
		if key == label {
			return r.marks.Value()[i]
		}
	}
	return ""
}

func (r *record) note(annotation string) string {
	for i, key := range noteKeys() {
		if key == annotation {
			return r.notes.Value()[i]
		}
	}
	return ""
}

func (r *record) isCopy() bool { return r.note(annotationCopy) != "" }

func (r *record) stamp() manifest.Stamp { return manifest.ReadStamp(r.note) }

func (r *record) namespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: r.namespace, Name: r.name}
}

// metadata is the object's, as far as it is kept.
func (r *record) metadata() *metav1.ObjectMeta {
	labels := pairs(markKeys(), r.marks.Value())
	if member := r.member.Value(); member != "" {
		labels[v1.LabelMember] = member
	}
	return &metav1.ObjectMeta{
		Namespace: r.namespace, Name: r.name, UID: r.uid, ResourceVersion: r.version, Generation: r.generation,
		DeletionTimestamp: r.deleted, Finalizers: r.finalizers,
		Labels: labels, Annotations: pairs(noteKeys(), r.notes.Value()),
	}
}

func pairs[A marks | notes](keys, values A) map[string]string {
	m := make(map[string]string, len(keys))
	for i := range len(keys) {
		if values[i] != "" {
			m[keys[i]] = values[i]
		}
	}
	return m
}

// GetObjectMeta is what an informer reads of an object: its name and its version.
func (r *record) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.namespace, Name: r.name, UID: r.uid, ResourceVersion: r.version}
}

// GetObjectKind says nothing: the store that has it knows its kind.
func (r *record) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is the record itself, which nobody changes.
func (r *record) DeepCopyObject() runtime.Object { return r }
