package render

import (
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
)

// addManifests adds the objects of spec.manifests in their order.
func (r *rendering) addManifests() error {
	taken := r.names()
	for i := range r.in.Template.Manifests {
		path := r.spec.Child("manifests").Index(i)
		o, err := r.manifest(path, r.in.Template.Manifests[i].Raw)
		if err != nil {
			return err
		}
		key := objectKey{o.groupKind(), o.name()}
		if other, ok := taken[key]; ok {
			return failf(path.Child("metadata", "name"), "%s is in the app already, from %s: rename or remove one", o, other)
		}
		taken[key] = path
		r.objects = append(r.objects, o)
	}
	return nil
}

type objectKey struct {
	kind schema.GroupKind
	name string
}

// names are the objects that the other fields make, those to come included.
func (r *rendering) names() map[objectKey]*field.Path {
	taken := map[objectKey]*field.Path{{schema.GroupKind{Group: "apps", Kind: "Deployment"}, r.in.Name}: r.spec}
	if r.in.Template.Autoscaling != nil {
		taken[objectKey{schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}, r.in.Name}] = r.spec.Child("autoscaling")
	}
	for _, o := range r.objects {
		taken[objectKey{o.groupKind(), o.name()}] = o.origin
	}
	return taken
}

// serverMetadata is what an API server adds to an object's metadata, and what is
// dropped from an object that was copied from one.
func serverMetadata() []string {
	return []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
}

// manifest is one entry of spec.manifests as an object of the app.
func (r *rendering) manifest(path *field.Path, raw []byte) (*object, error) {
	content, err := decodeMap(raw)
	if err != nil || content == nil {
		return nil, failf(path, "it is not an object: write it as for kubectl apply, with apiVersion, kind and metadata")
	}
	o := &object{content: content, origin: path}
	if err := r.checkKind(path, content); err != nil {
		return nil, err
	}
	metadata, ok := content["metadata"].(map[string]any)
	if !ok {
		return nil, failf(path.Child("metadata"), "it is missing: add it with a name")
	}
	if err := r.checkMetadata(path.Child("metadata"), metadata); err != nil {
		return nil, err
	}
	delete(content, "status")
	for _, key := range serverMetadata() {
		delete(metadata, key)
	}
	deleteNulls(metadata)
	metadata["namespace"] = r.home()
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	if _, ok := labels[labelName]; !ok {
		labels[labelName] = r.in.Name
	}
	for key, value := range r.marks() {
		labels[key] = value
	}
	return o, nil
}

func (r *rendering) checkKind(path *field.Path, content map[string]any) error {
	apiVersion, _ := content["apiVersion"].(string)
	kind, _ := content["kind"].(string)
	version, err := schema.ParseGroupVersion(apiVersion)
	switch _, isList := content["items"].([]any); {
	case err != nil || version.Version == "":
		return failf(path.Child("apiVersion"), "%q is not the version of an API: write it as in kubectl api-resources, for example networking.k8s.io/v1", apiVersion)
	case kind == "":
		return failf(path.Child("kind"), "it is missing: add it, for example NetworkPolicy")
	case kind == "List" && version.Group == "", isList && strings.HasSuffix(kind, "List"):
		return notPermitted(path.Child("kind"), "a list is not an object of its own: make each of its items an entry of spec.manifests")
	case kind == "Secret" && version.Group == "":
		return notPermitted(path.Child("kind"), "a Secret must not be in a MyApp, where everybody who reads it would read its content: create the Secret on the hub with the label %s: \"true\" and refer to it from the pods", v1.LabelPropagate)
	case isClusterScoped(version.Group, kind):
		return notPermitted(path.Child("kind"), "a %s belongs to a cluster and not to a namespace, and so to no app: whoever runs the members makes it there", kind)
	}
	return nil
}

// isClusterScoped is true for the kinds of Kubernetes that are in no namespace. Of others
// the members say it.
func isClusterScoped(group, kind string) bool {
	switch group {
	case "":
		return kind == "Namespace" || kind == "Node" || kind == "PersistentVolume"
	case "rbac.authorization.k8s.io":
		return strings.HasPrefix(kind, "Cluster")
	case "storage.k8s.io":
		return kind != "CSIStorageCapacity"
	case "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "certificates.k8s.io",
		"flowcontrol.apiserver.k8s.io", "node.k8s.io", "scheduling.k8s.io":
		return true
	case "networking.k8s.io":
		return kind == "IngressClass" || kind == "IPAddress" || kind == "ServiceCIDR"
	}
	return false
}

func (r *rendering) checkMetadata(path *field.Path, metadata map[string]any) error {
	data, err := json.Marshal(metadata)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	var m metav1.ObjectMeta
	if err := json.Unmarshal(data, &m); err != nil {
		return failf(path, "it is not an object's metadata: %s", err)
	}
	switch {
	case m.GenerateName != "":
		return failf(path.Child("generateName"), "every member must get the same object: remove it and set name")
	case m.Name == "":
		return failf(path.Child("name"), "it is missing: add it")
	case m.Namespace != "" && m.Namespace != r.in.Namespace:
		return notPermitted(path.Child("namespace"), "an app has objects in its own namespace only: remove it, or write %s", r.in.Namespace)
	case len(m.OwnerReferences) > 0:
		return notPermitted(path.Child("ownerReferences"), "an owner on the hub is not there on members, whose garbage collector would delete the object: remove them")
	}
	for _, key := range ownLabels() {
		if _, ok := m.Labels[key]; ok {
			return failf(path.Child("labels").Key(key), "the hub itself sets this label: remove it")
		}
	}
	for _, key := range ownAnnotations() {
		if _, ok := m.Annotations[key]; ok {
			return failf(path.Child("annotations").Key(key), "the hub itself sets this annotation: remove it")
		}
	}
	return nil
}
