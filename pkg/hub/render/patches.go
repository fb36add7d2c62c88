package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
)

// patch applies a JSON patch to every object that its target names.
func (r *rendering) patch(path *field.Path, p *v1.Patch) error {
	operations, err := r.operations(path.Child("patch"), p.Patch)
	if err != nil {
		return err
	}
	matched := false
	for _, o := range r.objects {
		if !targets(&p.Target, o) {
			continue
		}
		matched = true
		if err := r.patchObject(path.Child("patch"), operations, p.Patch, o); err != nil {
			return err
		}
	}
	if !matched {
		return failf(path.Child("target"), "it names no object of the app: the objects are %s; Secrets are copies and cannot be patched", r.objectNames())
	}
	return nil
}

func targets(t *v1.PatchTarget, o *object) bool {
	kind := o.groupKind()
	return t.Kind == kind.Kind && (t.Group == "" || t.Group == kind.Group) && (t.Name == "" || t.Name == o.name())
}

func (r *rendering) objectNames() string {
	names := make([]string, 0, len(r.objects))
	for _, o := range r.objects {
		names = append(names, o.String())
	}
	slices.Sort(names)
	if more := len(names) - 10; more > 0 {
		names = append(names[:10], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// operations are the operations with their variables replaced.
func (r *rendering) operations(path *field.Path, operations []v1.PatchOperation) (jsonpatch.Patch, error) {
	expanded := slices.Clone(operations)
	for i := range expanded {
		if expanded[i].Value == nil {
			if needsValue(expanded[i].Op) {
				return nil, failf(path.Index(i).Child("value"), "%s needs a value: add one; to take a field away use remove", expanded[i].Op)
			}
			continue
		}
		value, err := r.vars.expandJSON(expanded[i].Value.Raw)
		if err != nil {
			return nil, failf(path.Index(i).Child("value"), "%s", err)
		}
		expanded[i].Value = expanded[i].Value.DeepCopy()
		expanded[i].Value.Raw = value
	}
	data, err := json.Marshal(expanded)
	if err != nil {
		return nil, failf(path, "the operations cannot be encoded: %s", err)
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return nil, failf(path, "the operations are not a JSON patch: %s", err)
	}
	return patch, nil
}

func needsValue(op string) bool { return op == "add" || op == "replace" || op == "test" }

// patchObject changes one object and refuses a change of what makes it the
// app's.
func (r *rendering) patchObject(path *field.Path, patch jsonpatch.Patch, said []v1.PatchOperation, o *object) error {
	before, err := json.Marshal(o.content)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", o, err)
	}
	after, err := patch.ApplyWithOptions(before, patchOptions())
	if err != nil {
		return explain(path, patch, said, o, before)
	}
	content, err := decodeMap(after)
	if err != nil {
		return failf(path, "%s is no object after it: %s", o, err)
	}
	patched := &object{content: content, origin: o.origin, typed: o.typed}
	for _, p := range r.protected(o) {
		old, _, _ := unstructured.NestedFieldNoCopy(o.content, p.fields...)
		if changed, _, err := unstructured.NestedFieldNoCopy(content, p.fields...); err != nil || !reflect.DeepEqual(old, changed) {
			return failf(path, "it changes %s of %s, %s: remove the operation", strings.Join(p.fields, "."), o, p.why)
		}
	}
	if o.typed != nil {
		deleteNulls(content)
	}
	if err := patched.check(); err != nil {
		return failf(path, "%s is not valid after it: %s", o, err)
	}
	if o == r.workload {
		if err := r.checkPatchedPods(content); err != nil {
			return failf(path, "%s", err)
		}
	}
	o.content = content
	return nil
}

// maxCopied bounds what copy operations may add to an object, which could double
// it with each operation.
const maxCopied = 1 << 20

// patchOptions are those of RFC 6902: it knows no index that counts from the end.
func patchOptions() *jsonpatch.ApplyOptions {
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	options.AccumulatedCopySizeLimit = maxCopied
	return options
}

// explain finds the operation that does not apply.
func explain(path *field.Path, patch jsonpatch.Patch, said []v1.PatchOperation, o *object, before []byte) error {
	for i := range patch {
		_, err := patch[:i+1].ApplyWithOptions(before, patchOptions())
		if err == nil {
			continue
		}
		why := err.Error()
		switch {
		case said[i].Op == "test":
			return &Error{
				Reason: v1.ReasonRenderError, Field: path.Index(i), testFailed: true,
				Message: fmt.Sprintf("%s does not have the value at %s that is tested for: correct the test, or choose other members", o, said[i].Path),
			}
		case errors.Is(err, jsonpatch.ErrMissing) && said[i].From != "":
			why = said[i].From + " or the parent of " + said[i].Path + " does not exist there"
		case errors.Is(err, jsonpatch.ErrMissing) && said[i].Op == "add":
			why = "the parent does not exist there: add it first"
		case errors.Is(err, jsonpatch.ErrMissing):
			why = "the path does not exist there: check its spelling, or use add"
		}
		return failf(path.Index(i), "%s %s cannot be applied to %s: %s", said[i].Op, said[i].Path, o, why)
	}
	return failf(path, "it cannot be applied to %s", o)
}

type protectedField struct {
	fields []string
	why    string
}

// protected are the fields that a patch leaves as they are.
func (r *rendering) protected(o *object) []protectedField {
	const identity, mark, server = "which says what the object is", "which is how the hub knows its objects", "which is the API server's to set"
	all := []protectedField{
		{[]string{"apiVersion"}, identity}, {[]string{"kind"}, identity},
		{[]string{"metadata", "namespace"}, identity}, {[]string{"metadata", "name"}, identity},
		{[]string{"metadata", "labels", v1.LabelManagedBy}, mark},
		{[]string{"status"}, "which is not the user's to set"},
	}
	for _, key := range ownLabels() {
		all = append(all, protectedField{[]string{"metadata", "labels", key}, mark})
	}
	for _, key := range ownAnnotations() {
		all = append(all, protectedField{[]string{"metadata", "annotations", key}, mark})
	}
	for _, key := range append(serverMetadata(), "generateName", "ownerReferences") {
		all = append(all, protectedField{[]string{"metadata", key}, server})
	}
	if o == r.workload {
		all = append(all,
			protectedField{[]string{"spec", "selector"}, "which is how the app finds its pods"},
			protectedField{[]string{"spec", "replicas"}, "which the hub decides (use replicas of the override)"},
		)
	}
	return all
}

func (r *rendering) checkPatchedPods(content map[string]any) error {
	raw, _, err := unstructured.NestedFieldNoCopy(content, "spec", "template")
	if err != nil {
		return err
	}
	data, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	var template corev1.PodTemplateSpec
	if err := decodeStrictly(data, &template); err != nil {
		return err
	}
	return r.checkPodTemplate(&template)
}
