package property

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// mutate makes the next version of an app: the same but for one change, that
// leaves it valid.
func (w *world) mutate(ctx context.Context, l *life) error {
	var err error
	for range 50 {
		next := *l.now
		next.spec, next.manifests = copied(l.now.spec), nil
		next.owner.Stamp.Generation++
		l.what = l.dice.edit(&next)
		if l.what == "" {
			continue
		}
		if err = w.prepare(ctx, &next); err == nil {
			err = w.possible(ctx, next)
		}
		if err == nil {
			l.next = &next
			return nil
		}
		if !errors.Is(err, errNotAdmitted) {
			return fmt.Errorf("after the change %q: %w", l.what, err)
		}
	}
	return fmt.Errorf("no valid change was found: %w", err)
}

// possible holds that a member would take the objects of a version, were they new.
// What a member alone can refuse is no change to try.
func (w *world) possible(ctx context.Context, v version) error {
	v.owner.Namespace = "default"
	if err := w.prepare(ctx, &v); err != nil {
		return err
	}
	for _, m := range v.manifests {
		r, err := w.resource(m)
		if err != nil {
			return err
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(m.Raw); err != nil {
			return err
		}
		if _, err := r.Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return fmt.Errorf("%w by a member: %w", errNotAdmitted, err)
		}
	}
	return nil
}

// edit changes one thing of a version and says which.
func (d dice) edit(v *version) string {
	switch d.IntN(10) {
	case 0:
		v.secrets = maps.Clone(v.secrets)
		db := v.secrets["db"].DeepCopy()
		db.Data = map[string][]byte{"password": []byte(d.text()), "new": {1}}
		v.secrets["db"] = db
		return "other content of Secret db"
	case 1, 2, 3, 4, 5:
		other := makeSpec(d, v.owner.Name)
		field := pick(d, slices.Sorted(maps.Keys(other))...)
		v.spec[field] = other[field]
		return "another value of " + field
	default:
		paths := pathsOf(v.spec)
		path := pick(d, paths...)
		if len(path) > 1 && path[0] == "manifests" && len(path) > 2 && unchangeable(at(v.spec, path[:2]).(obj)) {
			return ""
		}
		v.spec = without(v.spec, path)
		return fmt.Sprintf("without %v", path)
	}
}

// limits are changes that server-side apply refuses although the result would be
// valid, whoever asks.
var limits = []string{
	// What was filled in beside a type that nobody set stays when the type is set.
	"may not be specified when strategy `type` is 'Recreate'",
	// An entry of a map of maps that loses its last field becomes null.
	`must be of type object: "null"`,
}

// change applies the next version. An app that runs into a limit of server-side
// apply keeps the version it has.
func (w *world) change(ctx context.Context, l *life) error {
	err := w.engine.change(ctx, l.now, l.next)
	if err != nil && slices.ContainsFunc(limits, func(limit string) bool { return strings.Contains(err.Error(), limit) }) {
		l.now.owner, l.next, l.limited = l.next.owner, nil, true
		return nil
	}
	return err
}

// asNew holds that an app that was changed is the same as one that was made like
// that: what is no longer said has left no trace.
func (w *world) asNew(ctx context.Context, l *life) error {
	fresh := *l.next
	fresh.owner.Namespace += "-new"
	fresh.owner.UID += "-new"
	if err := w.prepare(ctx, &fresh); err != nil {
		return err
	}
	if err := w.engine.create(ctx, &fresh); err != nil {
		return err
	}
	var errs []error
	for i, m := range l.next.manifests {
		changed, err := w.live(ctx, m)
		if err != nil {
			return err
		}
		made, err := w.live(ctx, fresh.manifests[i])
		if err != nil {
			return err
		}
		if l.next.ignoresReplicas() && m.GVK.Kind == "Deployment" {
			delete(changed["spec"].(obj), "replicas")
			delete(made["spec"].(obj), "replicas")
			// The number that was kept when the autoscaler took over.
			unstructured.RemoveNestedField(changed, "metadata", "annotations", v1.AnnotationKeptReplicas)
		}
		said := &unstructured.Unstructured{}
		if err := said.UnmarshalJSON(fresh.manifests[i].Raw); err != nil {
			return err
		}
		for _, section := range []string{"spec", "data", "roleRef", "subjects", "rules"} {
			if err := kept(section, said.Object[section], made[section]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", m, err))
			}
		}
		if m.GVK.Kind == "Widget" {
			dropEmptyLists(made)
			dropEmptyLists(changed)
		}
		if m.GVK.Kind == "Service" {
			keepIPFamilyPolicy(said.Object, made, changed)
		}
		if diff := cmp.Diff(made, changed); diff != "" {
			errs = append(errs, fmt.Errorf("%s (-made anew +changed):\n%s", m, diff))
		}
	}
	return errors.Join(errors.Join(errs...), w.engine.remove(ctx, &fresh))
}

// keepIPFamilyPolicy levels what an API server keeps of a Service whose manifest no longer
// says it: by its own rule, whoever asks.
func keepIPFamilyPolicy(said, made, changed obj) {
	if _, is, _ := unstructured.NestedString(said, "spec", "ipFamilyPolicy"); !is {
		unstructured.RemoveNestedField(made, "spec", "ipFamilyPolicy")
		unstructured.RemoveNestedField(changed, "spec", "ipFamilyPolicy")
	}
}

// dropEmptyLists takes out the lists that an apply leaves empty when their last
// element goes and the list itself is no longer said.
func dropEmptyLists(o obj) {
	for k, v := range o {
		switch v := v.(type) {
		case obj:
			dropEmptyLists(v)
		case list:
			if len(v) == 0 {
				delete(o, k)
			}
		}
	}
}

func (v *version) ignoresReplicas() bool {
	return slices.ContainsFunc(v.policies.Drift.Ignore, func(i v1.IgnoredFields) bool { return slices.Contains(i.Fields, "/spec/replicas") })
}

// kept holds that an object has the text that the manifest says: an API server
// writes quantities and times in its own way, and all else as it was said.
func kept(path string, said, have any) error {
	switch said := said.(type) {
	case obj:
		for k, v := range said {
			there, _ := have.(obj)
			if err := kept(path+"/"+k, v, there[k]); err != nil {
				return err
			}
		}
	case list:
		there, _ := have.(list)
		for i, v := range said {
			if i < len(there) && len(said) == len(there) {
				if err := kept(fmt.Sprint(path, "/", i), v, there[i]); err != nil {
					return err
				}
			}
		}
	case string:
		if there, ok := have.(string); ok && there != said && !sameQuantity(said, there) && !sameTime(said, there) {
			return fmt.Errorf("%s is %q, want %q", path, there, said)
		}
	}
	return nil
}

func sameQuantity(a, b string) bool {
	x, err := resource.ParseQuantity(a)
	y, err2 := resource.ParseQuantity(b)
	return err == nil && err2 == nil && x.Cmp(y) == 0
}

func sameTime(a, b string) bool {
	x, err := time.Parse(time.RFC3339, a)
	y, err2 := time.Parse(time.RFC3339, b)
	return err == nil && err2 == nil && x.Equal(y)
}

// live is an object without what an API server gives to each for itself.
func (w *world) live(ctx context.Context, m manifest.Manifest) (obj, error) {
	r, err := w.resource(m)
	if err != nil {
		return nil, err
	}
	o, err := r.Get(ctx, m.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	for _, field := range [][]string{
		{"status"},
		{"metadata", "namespace"}, {"metadata", "uid"}, {"metadata", "resourceVersion"}, {"metadata", "creationTimestamp"}, {"metadata", "generation"}, {"metadata", "managedFields"},
		{"metadata", "labels", v1.LabelAppUID}, {"metadata", "annotations", v1.AnnotationContentHash},
		{"spec", "healthCheckNodePort"},
	} {
		unstructured.RemoveNestedField(o.Object, field...)
	}
	for _, key := range []string{v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash, v1.AnnotationHubEpoch, v1.AnnotationHubVersion} {
		unstructured.RemoveNestedField(o.Object, "metadata", "annotations", key)
	}
	dropPullPolicies(o.Object)
	switch m.GVK.Kind {
	case "Service":
		anyAddress(o.Object["spec"].(obj))
	case "Job":
		unstructured.RemoveNestedField(o.Object, "spec", "selector")
		for _, key := range []string{"controller-uid", "batch.kubernetes.io/controller-uid"} {
			unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "labels", key)
		}
	}
	return o.Object, nil
}

// dropPullPolicies takes away a default that depends on another field: that of an
// image without a tag is Always, and stays so when the image gets a tag.
func dropPullPolicies(value any) {
	switch value := value.(type) {
	case obj:
		delete(value, "imagePullPolicy")
		for _, v := range value {
			dropPullPolicies(v)
		}
	case list:
		for _, v := range value {
			dropPullPolicies(v)
		}
	}
}

func (w *world) resource(m manifest.Manifest) (dynamic.ResourceInterface, error) {
	i := slices.IndexFunc(resources, func(r schema.GroupVersionResource) bool {
		return r.Group == m.GVK.Group && r.Resource == lowerPlural(m.GVK.Kind)
	})
	if i < 0 {
		return nil, fmt.Errorf("%s: this test does not know its resource: add it", m)
	}
	return w.objects.Resource(resources[i]).Namespace(m.Namespace), nil
}

func anyAddress(spec obj) {
	if ip, ok := spec["clusterIP"]; ok && ip != "None" {
		spec["clusterIP"], spec["clusterIPs"] = "some", "some"
	}
	ports, _ := spec["ports"].(list)
	for _, p := range ports {
		if _, ok := p.(obj)["nodePort"]; ok {
			p.(obj)["nodePort"] = "some"
		}
	}
}
