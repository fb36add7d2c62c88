package render

import (
	"encoding/json"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

// value draws JSON that is made of what pods and objects are made of, in places
// where it belongs and where it does not.
func value(t *rapid.T, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 8
	}
	key := rapid.SampledFrom([]string{
		"metadata", "spec", "labels", "annotations", "name", "containers", "initContainers", "volumes", "env", "value", "image", "template",
		"ports", "containerPort", "secret", "secretName", "selector", "status", "uid", "$patch", "$retainKeys", "$setElementOrder/containers",
		"$deleteFromPrimitiveList/args", v1.LabelApp, v1.LabelHubID, v1.AnnotationContentHash, "args", "tolerations", "hostAliases", "ip",
	})
	switch rapid.IntRange(0, kinds).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.IntRange(-1, 9).Draw(t, "number")
	case 2, 3, 4:
		return rapid.SampledFrom([]string{"web", "config", "delete", "replace", "merge", "x", "", "$(cluster.name)"}).Draw(t, "text")
	case 5:
		list := make([]any, rapid.IntRange(0, 2).Draw(t, "length"))
		for i := range list {
			list[i] = value(t, depth-1)
		}
		return list
	default:
		m := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "fields") {
			m[key.Draw(t, "key")] = value(t, depth-1)
		}
		return m
	}
}

func encode(t *rapid.T, value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// failer is what tests, properties and fuzzing have in common.
type failer interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// checkApp: whatever was asked for, what comes out is the app's, or an Error
// that names a field.
func checkApp(t failer, in Input) {
	manifests, err := Manifests(in)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Field == nil || e.Message == "" {
			t.Fatalf("not an Error with a field: %v", err)
		}
		return
	}
	for _, m := range manifests {
		var o struct {
			Metadata struct {
				Labels          map[string]string
				UID             string
				OwnerReferences []any
			}
			Status any
		}
		if err := json.Unmarshal(m.Raw, &o); err != nil {
			t.Fatal(err)
		}
		labels := o.Metadata.Labels
		if m.Namespace != in.Namespace || labels[v1.LabelApp] != in.Name || labels[v1.LabelHubID] != in.HubID || labels[v1.LabelMember] != in.Cluster.Name || labels[v1.LabelManagedBy] != v1.ManagedBy {
			t.Fatalf("%s is not the app's any more: %s", m, m.Raw)
		}
		if o.Metadata.UID != "" || o.Metadata.OwnerReferences != nil || o.Status != nil {
			t.Fatalf("%s has what is not the user's: %s", m, m.Raw)
		}
		if m.GVK.Kind != "Deployment" {
			continue
		}
		var d appsv1.Deployment
		if err := decodeStrictly(m.Raw, &d); err != nil {
			t.Fatalf("%v: %s", err, m.Raw)
		}
		if d.Spec.Template.Labels[v1.LabelApp] != in.Name || d.Spec.Selector.MatchLabels[v1.LabelApp] != in.Name || len(d.Spec.Selector.MatchLabels) != 1 ||
			containerNamed(&d.Spec.Template.Spec, in.Name) == nil || *d.Spec.Replicas != in.Replicas {
			t.Fatalf("the pods are not the app's any more: %s", m.Raw)
		}
		for key := range d.Spec.Template.Labels {
			if key == v1.LabelHubID || key == v1.LabelMember || key == v1.LabelAppUID {
				t.Fatalf("pods carry the mark %s: %s", key, m.Raw)
			}
		}
	}
}

func TestNoPodTemplateTakesThePodsOver(t *testing.T) {
	plain := input(t, "plain")
	rapid.Check(t, func(t *rapid.T) {
		in := plain
		in.Template.Config = map[string]v1.ConfigValue{"a": "b"}
		in.Template.Args = []string{"x"}
		in.Template.PodTemplate = &runtime.RawExtension{Raw: encode(t, map[string]any{
			"metadata": value(t, 2), "spec": map[string]any{"containers": value(t, 4), "volumes": value(t, 3), "tolerations": value(t, 2)},
		})}
		checkApp(t, in)
	})
}

func TestNoPatchTakesAnObjectOver(t *testing.T) {
	rich := input(t, "rich")
	rich.Template.Autoscaling = nil
	path := rapid.StringMatching(`(/(metadata|spec|labels|template|selector|matchLabels|name|namespace|replicas|containers|0|1|-|-1|~1|example.com~1app|annotations|uid|status|kind|apiVersion|data|)){1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		in := rich
		patch := v1.Patch{Target: v1.PatchTarget{Kind: rapid.SampledFrom([]string{"Deployment", "Queue", "Service", "ConfigMap"}).Draw(t, "kind")}}
		for range rapid.IntRange(1, 4).Draw(t, "operations") {
			op := v1.PatchOperation{Op: rapid.SampledFrom([]string{"add", "remove", "replace", "move", "copy", "test"}).Draw(t, "op"), Path: path.Draw(t, "path")}
			if op.Op == "move" || op.Op == "copy" {
				op.From = path.Draw(t, "from")
			} else if op.Op != "remove" {
				op.Value = &apiextensionsv1.JSON{Raw: encode(t, value(t, 2))}
			}
			patch.Patch = append(patch.Patch, op)
		}
		in.Template.Overrides = []v1.Override{{Patches: []v1.Patch{patch}}}
		checkApp(t, in)
	})
}

func TestNoManifestTakesAnIdentity(t *testing.T) {
	plain := input(t, "plain")
	rapid.Check(t, func(t *rapid.T) {
		in := plain
		object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "labels": value(t, 2), "annotations": value(t, 2)}}
		for _, key := range []string{"metadata", "kind", "data", "status"} {
			if rapid.Bool().Draw(t, key) {
				object[key] = value(t, 3)
			}
		}
		in.Template.Manifests = []runtime.RawExtension{{Raw: encode(t, object)}}
		checkApp(t, in)
	})
}

// FuzzPatches puts any operations on any of the app's objects, and any JSON into its pods.
func FuzzPatches(f *testing.F) {
	rich, plain := input(f, "rich"), input(f, "plain")
	rich.Template.Autoscaling = nil
	f.Add("Deployment", []byte(`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"x"}]`), []byte(`{"spec":{"hostNetwork":false}}`))
	f.Add("Service", []byte(`[{"op":"move","path":"/metadata/labels/a","from":"/metadata/labels/example.com~1app"}]`), []byte(`{"spec":{"containers":[{"name":"web","$patch":"delete"}]}}`))
	f.Add("Queue", []byte(`[{"op":"copy","path":"/metadata/namespace","from":"/metadata/name"},{"op":"test","path":"","value":{}}]`), []byte(`{"metadata":{"labels":{"example.com/app":null}}}`))
	f.Add("ConfigMap", []byte(`[{"op":"add","path":"/data/-1","value":[[[]]]}]`), []byte(`null`))
	f.Fuzz(func(t *testing.T, kind string, operations, template []byte) {
		in := rich
		patch := v1.Patch{Target: v1.PatchTarget{Kind: kind}}
		if json.Unmarshal(operations, &patch.Patch) == nil && len(patch.Patch) <= 32 {
			in.Template.Overrides = []v1.Override{{Patches: []v1.Patch{patch}}}
			checkApp(t, in)
		}
		if json.Valid(template) {
			pods := plain
			pods.Template.PodTemplate = &runtime.RawExtension{Raw: template}
			checkApp(t, pods)
		}
	})
}
