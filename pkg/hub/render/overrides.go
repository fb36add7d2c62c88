package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// override applies the member's overrides in their order, each to what those
// before it have made: first its fields, then its patches.
func (r *rendering) override() error {
	for i := range r.in.Template.Overrides {
		path := r.spec.Child("overrides").Index(i)
		applies, err := r.applies(i)
		if err != nil {
			return failf(path.Child("clusterSelector"), "it cannot be used: %s", err)
		}
		if !applies {
			continue
		}
		o := &r.in.Template.Overrides[i]
		if err := r.overrideFields(path, o); err != nil {
			return err
		}
		r.peculiar = r.peculiar || len(o.Patches) > 0 // they see and copy all of an object
		for j := range o.Patches {
			if err := r.patch(path.Child("patches").Index(j), &o.Patches[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// SameBut is true if two templates differ in nothing but overrides.
func SameBut(a, b *v1.MyAppSpec) bool {
	x, y := *a, *b
	x.Overrides, y.Overrides = nil, nil
	return equality.Semantic.DeepEqual(x, y)
}

// SameOverrides is true if the overrides of two templates do the same on a member. One that
// cannot be understood does not.
func SameOverrides(a, b *v1.MyAppSpec, cluster Cluster) bool {
	var on [2][]v1.Override
	for i, template := range []*v1.MyAppSpec{a, b} {
		for j := range template.Overrides {
			o := template.Overrides[j]
			applies, err := selects(&o, cluster)
			if err != nil {
				return false
			}
			if o.ClusterNames, o.ClusterSelector = nil, nil; applies && !equality.Semantic.DeepEqual(o, v1.Override{}) {
				on[i] = append(on[i], o)
			}
		}
	}
	return equality.Semantic.DeepEqual(on[0], on[1])
}

// selects is true if an override is for a member: its names and its selector,
// if it has them, must both hold.
func selects(o *v1.Override, cluster Cluster) (bool, error) {
	if len(o.ClusterNames) > 0 && !slices.Contains(o.ClusterNames, v1.ClusterName(cluster.Name)) {
		return false, nil
	}
	if o.ClusterSelector == nil {
		return true, nil
	}
	selector, err := placement.Compile(o.ClusterSelector)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // placement's own words name spec.placement
		}
		return false, err
	}
	return selector.Matches(labels.Set(cluster.Labels)), nil
}

// overrideFields changes the app's container.
func (r *rendering) overrideFields(path *field.Path, o *v1.Override) error {
	if o.Image == nil && o.Env == nil && o.Args == nil && o.Resources == nil {
		return nil
	}
	return r.editDeployment(func(d *appsv1.Deployment) error {
		c := containerNamed(&d.Spec.Template.Spec, r.in.Name)
		if o.Image != nil {
			i, err := parseImage(c.Image)
			if err != nil {
				return failf(path.Child("image"), "%s", err)
			}
			c.Image = i.override(o.Image).String()
		}
		env, err := r.expandEnv(path.Child("env"), o.Env)
		if err != nil {
			return err
		}
		for _, e := range env {
			if i := slices.IndexFunc(c.Env, func(old corev1.EnvVar) bool { return old.Name == e.Name }); i >= 0 {
				c.Env[i] = e
			} else {
				c.Env = append(c.Env, e)
			}
		}
		if o.Args != nil {
			c.Args = o.Args
		}
		if o.Resources != nil {
			c.Resources = *o.Resources
		}
		return nil
	})
}

// editDeployment changes the Deployment as the Go type that it is.
func (r *rendering) editDeployment(edit func(*appsv1.Deployment) error) error {
	data, err := json.Marshal(r.workload.content)
	if err != nil {
		return fmt.Errorf("encoding the Deployment: %w", err)
	}
	d := &appsv1.Deployment{}
	if err := decodeStrictly(data, d); err != nil {
		return fmt.Errorf("decoding the Deployment: %w", err)
	}
	if err := edit(d); err != nil {
		return err
	}
	r.workload.content, err = toMap(d)
	return err
}
