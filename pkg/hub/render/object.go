package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	strictjson "sigs.k8s.io/json"

	v1 "github.com/example/myapp-hub/api/v1"
)

const labelName = "app.kubernetes.io/name"

// object is one object while it is rendered.
type object struct {
	content map[string]any
	// origin is the field of the MyApp that the object comes from.
	origin *field.Path
	// typed makes an empty value of the kind's Go type; nil for a kind of the
	// user's, which only the member knows.
	typed func() any
}

func (o *object) groupKind() schema.GroupKind {
	apiVersion, _ := o.content["apiVersion"].(string)
	kind, _ := o.content["kind"].(string)
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupKind()
}

func (o *object) name() string {
	name, _, _ := unstructured.NestedString(o.content, "metadata", "name")
	return name
}

// String is the object as a person calls it: "Deployment web".
func (o *object) String() string { return o.groupKind().Kind + " " + o.name() }

// check decodes the object into its Go type and accepts nothing that is not in
// it. Of a kind of the user's only the metadata is known.
func (o *object) check() error {
	data, err := json.Marshal(o.content)
	if err != nil {
		return err
	}
	if o.typed == nil {
		return json.Unmarshal(data, &metav1.PartialObjectMetadata{})
	}
	return decodeStrictly(data, o.typed())
}

// newObject is an object of a kind that this package knows.
func newObject[T any](origin *field.Path, value *T) (*object, error) {
	content, err := toMap(value)
	if err != nil {
		return nil, fmt.Errorf("encoding what %s makes: %w", origin, err)
	}
	return &object{content: content, origin: origin, typed: func() any { return new(T) }}, nil
}

// add appends an object of a kind that this package knows.
func add[T any](r *rendering, origin *field.Path, value *T) error {
	o, err := newObject(origin, value)
	if err != nil {
		return err
	}
	r.objects = append(r.objects, o)
	return nil
}

// marks are the labels that tell whose an object is.
func (r *rendering) marks() map[string]string {
	marks := map[string]string{
		v1.LabelManagedBy: v1.ManagedBy,
		v1.LabelAppUID:    string(r.in.UID),
		v1.LabelHubID:     r.in.HubID,
		v1.LabelMember:    r.in.Cluster.Name,
	}
	maps.Copy(marks, r.podSelector())
	return marks
}

// home is the namespace of the app's objects on the member.
func (r *rendering) home() string { return cmp.Or(r.in.Cluster.Namespace, r.in.Namespace) }

// ownLabels and ownAnnotations are marks that nobody but the hub sets.
// LabelManagedBy is not among them: it is everybody's, and the hub replaces it.
func ownLabels() []string {
	return []string{v1.LabelApp, v1.LabelAppNamespace, v1.LabelAppUID, v1.LabelHubID, v1.LabelMember}
}

func ownAnnotations() []string {
	return []string{
		v1.AnnotationContentHash, v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash,
		v1.AnnotationHubEpoch, v1.AnnotationHubVersion, v1.AnnotationConfigHash, v1.AnnotationKeptReplicas,
	}
}

func (r *rendering) objectMeta() metav1.ObjectMeta { return r.objectMetaNamed(r.in.Name) }

func (r *rendering) objectMetaNamed(name string) metav1.ObjectMeta {
	labels := map[string]string{labelName: r.in.Name}
	maps.Copy(labels, r.marks())
	return metav1.ObjectMeta{Namespace: r.home(), Name: name, Labels: labels}
}

// toMap is the object as server-side apply wants it: without the fields that a
// Go type writes although nothing was said about them.
func toMap(value any) (map[string]any, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	m, err := decodeMap(data)
	if err != nil {
		return nil, err
	}
	delete(m, "status")
	if spec, ok := m["spec"].(map[string]any); ok {
		deleteEmpty(spec, "strategy")
		for _, containers := range []string{"containers", "initContainers"} {
			list, _, _ := unstructured.NestedFieldNoCopy(spec, "template", "spec", containers)
			items, _ := list.([]any)
			for _, c := range items {
				if c, ok := c.(map[string]any); ok {
					deleteEmpty(c, "resources")
				}
			}
		}
	}
	deleteNulls(m)
	return m, nil
}

func deleteEmpty(m map[string]any, key string) {
	if v, ok := m[key].(map[string]any); ok && len(v) == 0 {
		delete(m, key)
	}
}

func deleteNulls(m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, k)
		case map[string]any:
			deleteNulls(v)
		case []any:
			for _, item := range v {
				if item, ok := item.(map[string]any); ok {
					deleteNulls(item)
				}
			}
		}
	}
}

// decodeMap keeps whole numbers whole, as an API server does.
func decodeMap(data []byte) (map[string]any, error) {
	var m map[string]any
	if err := kjson.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	return m, nil
}

// decodeStrictly refuses a field that the Go type does not have, in the letters
// it has there.
func decodeStrictly(data []byte, into any) error {
	strict, err := strictjson.UnmarshalStrict(data, into)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return listError(strict)
	}
	return nil
}

// listError says several errors in one line.
type listError []error

// Error is the errors with commas between them.
func (l listError) Error() string {
	text := l[0].Error()
	for _, err := range l[1:] {
		text += ", " + err.Error()
	}
	return text
}
