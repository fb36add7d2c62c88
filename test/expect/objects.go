package expect

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// None is what Field says of a field that is not there.
const None = "(none)"

// Kinds are the kinds of which tests expect objects of apps on members.
func Kinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		{Version: "v1", Kind: "ServiceAccount"},
		{Version: "v1", Kind: "Secret"},
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Service"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	}
}

// Object reads an object of one of Kinds, or a MyApp; nil if there is none.
func Object(ctx context.Context, c *fleet.Cluster, kind string, key types.NamespacedName) (*unstructured.Unstructured, error) {
	for _, gvk := range append(Kinds(), v1.GroupVersion.WithKind("MyApp")) {
		if gvk.Kind != kind {
			continue
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gvk)
		err := c.Client().Get(ctx, key, u)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return u, err
	}
	return nil, fmt.Errorf("%s is none of the kinds that are known here", kind)
}

// Field is what a JSONPath, as of kubectl but without braces, finds in an object:
// text as it is, all else as JSON, with a blank between several, None for nothing.
func Field(object any, path string) (string, error) {
	finder := jsonpath.New("field").AllowMissingKeys(true)
	if err := finder.Parse("{" + path + "}"); err != nil {
		return "", fmt.Errorf("JSONPath %s: %w", path, err)
	}
	results, err := finder.FindResults(object)
	if err != nil {
		return None + ": " + err.Error(), nil
	}
	var found []string
	for _, values := range results {
		for _, value := range values {
			if text, ok := value.Interface().(string); ok {
				found = append(found, text)
				continue
			}
			data, err := json.Marshal(value.Interface())
			if err != nil {
				return "", fmt.Errorf("encoding %s: %w", path, err)
			}
			found = append(found, string(data))
		}
	}
	if len(found) == 0 {
		return None, nil
	}
	return strings.Join(found, " "), nil
}

// Made are the objects of an app on a member by kind and name, without all that
// differs from one member to the next: what the API server sets, the status, the
// hub's stamps, and the name of the member, in whose place is MEMBER.
func Made(ctx context.Context, f Fleet, member string, app types.NamespacedName) (map[string]any, error) {
	made := map[string]any{}
	for _, gvk := range Kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk)
		err := f.Client(member).List(ctx, list, client.InNamespace(app.Namespace), client.MatchingLabels{v1.LabelApp: app.Name})
		if err != nil {
			return nil, fmt.Errorf("listing the %ss of %s on %s: %w", gvk.Kind, app, member, err)
		}
		for i := range list.Items {
			name := gvk.Kind + " " + list.Items[i].GetName()
			made[name] = alike(list.Items[i].Object, member)
		}
	}
	return made, nil
}

func alike(object map[string]any, member string) any {
	for _, path := range [][]string{
		{"status"},
		{"spec", "clusterIP"}, {"spec", "clusterIPs"}, {"spec", "healthCheckNodePort"},
		{"metadata", "uid"}, {"metadata", "resourceVersion"}, {"metadata", "generation"},
		{"metadata", "creationTimestamp"}, {"metadata", "managedFields"},
		{"metadata", "annotations", v1.AnnotationContentHash}, {"metadata", "annotations", v1.AnnotationAppGeneration},
		{"metadata", "annotations", v1.AnnotationAppSpecHash}, {"metadata", "annotations", v1.AnnotationHubEpoch},
		{"metadata", "annotations", v1.AnnotationHubVersion}, {"metadata", "annotations", "deployment.kubernetes.io/revision"},
	} {
		unstructured.RemoveNestedField(object, path...)
	}
	if ports, ok, err := unstructured.NestedSlice(object, "spec", "ports"); ok && err == nil {
		for _, port := range ports {
			delete(port.(map[string]any), "nodePort")
		}
		_ = unstructured.SetNestedSlice(object, ports, "spec", "ports") // it was one before
	}
	return nameless(object, member)
}

// nameless puts MEMBER in the place of the member's name in all text.
func nameless(value any, member string) any {
	switch value := value.(type) {
	case string:
		return strings.ReplaceAll(value, member, "MEMBER")
	case []any:
		for i := range value {
			value[i] = nameless(value[i], member)
		}
	case map[string]any:
		for k := range value {
			value[k] = nameless(value[k], member)
		}
	}
	return value
}

// Secret makes or changes a Secret on the hub that apps of its namespace may
// have copied to members.
func Secret(ctx context.Context, f *fleet.Fleet, key types.NamespacedName, data map[string]string) error {
	secret := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret"}}
	secret.SetNamespace(key.Namespace)
	secret.SetName(key.Name)
	secret.SetLabels(map[string]string{v1.LabelPropagate: "true"})
	content := map[string]any{}
	for k, v := range data {
		content[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	secret.Object["data"] = content
	if _, ok := data[".dockerconfigjson"]; ok {
		secret.Object["type"] = "kubernetes.io/dockerconfigjson"
	}
	return f.Cluster(fleet.HubName).Apply(ctx, secret)
}

// Change patches an object of one of Kinds on a cluster by a strategic merge, as
// kubectl edit does, in the name of somebody who is not the product.
func Change(ctx context.Context, c *fleet.Cluster, kind string, key types.NamespacedName, patch string) error {
	for _, gvk := range Kinds() {
		if gvk.Kind != kind {
			continue
		}
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(gvk)
		o.Namespace, o.Name = key.Namespace, key.Name
		err := c.Client().Patch(ctx, o, client.RawPatch(types.StrategicMergePatchType, []byte(patch)), client.FieldOwner(Somebody))
		if err != nil {
			return fmt.Errorf("changing %s %s on %s: %w", kind, key, c.Name(), err)
		}
		return nil
	}
	return fmt.Errorf("%s is none of the kinds that are known here", kind)
}

// Somebody is the field manager of what Change changes.
const Somebody = "somebody"
