package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// mergePodTemplate merges spec.podTemplate into what the other fields make.
func (r *rendering) mergePodTemplate(base corev1.PodTemplateSpec) (corev1.PodTemplateSpec, error) {
	path, raw := r.spec.Child("podTemplate"), r.in.Template.PodTemplate.Raw
	var merged corev1.PodTemplateSpec
	patch, err := decodePodTemplate(raw)
	if err != nil {
		return merged, failf(path, "it is not a partial pod template: %s. It has metadata and spec as in a Deployment's spec.template; correct or remove what is named", err)
	}
	if len(r.in.Template.Config) > 0 {
		for i := range patch.Spec.Volumes {
			if patch.Spec.Volumes[i].Name == configVolume {
				return merged, failf(path.Child("spec", "volumes").Index(i).Child("name"), "the volume %q has the files of spec.config: give yours another name", configVolume)
			}
		}
	}
	original, err := json.Marshal(base)
	if err != nil {
		return merged, fmt.Errorf("encoding the pod template: %w", err)
	}
	data, err := strategicpatch.StrategicMergePatch(original, raw, corev1.PodTemplateSpec{})
	if err != nil {
		return merged, failf(path, "it cannot be merged into the pod template: %s. Entries of lists such as containers need their name", err)
	}
	if err := decodeStrictly(data, &merged); err != nil {
		return merged, failf(path, "what it makes is not a pod template: %s", err)
	}
	if err := r.checkPodTemplate(&merged); err != nil {
		return merged, failf(path, "%s", err)
	}
	keepOrder(base.Spec.Containers, merged.Spec.Containers, func(c corev1.Container) string { return c.Name })
	for i := range base.Spec.Containers {
		if c := containerNamed(&merged.Spec, base.Spec.Containers[i].Name); c != nil {
			keepOrder(base.Spec.Containers[i].Env, c.Env, func(e corev1.EnvVar) string { return e.Name })
		}
	}
	return merged, nil
}

// decodePodTemplate reads a partial pod template strictly, but for the
// directives of a strategic merge patch ($patch, $retainKeys and the like).
func decodePodTemplate(raw []byte) (*corev1.PodTemplateSpec, error) {
	m, err := decodeMap(raw)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("it is null")
	}
	deleteDirectives(m)
	data, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	patch := &corev1.PodTemplateSpec{}
	return patch, decodeStrictly(data, patch)
}

func deleteDirectives(value any) {
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			if strings.HasPrefix(k, "$") {
				delete(value, k)
				continue
			}
			deleteDirectives(v)
		}
	case []any:
		for _, v := range value {
			deleteDirectives(v)
		}
	}
}

// checkPodTemplate holds what must be true of the pods whatever the user says
// about them: that they are the Deployment's and have the app's container, and
// that no mark is on them that the hub did not put there.
func (r *rendering) checkPodTemplate(t *corev1.PodTemplateSpec) error {
	selector := r.podSelector()
	for _, key := range ownLabels() {
		value, selects := selector[key]
		label, ok := t.Labels[key]
		switch {
		case selects && label != value:
			return fmt.Errorf("the pods' label %s is how the app finds them and stays %s: remove the change", key, value)
		case ok && !selects:
			return fmt.Errorf("the label %s is the hub's own and is never on pods: remove it", key)
		}
	}
	for _, key := range ownAnnotations() {
		if _, ok := t.Annotations[key]; ok {
			return fmt.Errorf("the hub itself sets the annotation %s: remove it", key)
		}
	}
	if containerNamed(&t.Spec, r.in.Name) == nil {
		return fmt.Errorf("the app's container %s is missing: keep it and its name", r.in.Name)
	}
	names := map[string]bool{}
	for _, c := range slices.Concat(t.Spec.InitContainers, t.Spec.Containers) {
		if names[c.Name] {
			return fmt.Errorf("two containers are called %q: give each a name of its own", c.Name)
		}
		names[c.Name] = true
		if err := checkContainer(&c, t.Spec.Volumes); err != nil {
			return fmt.Errorf("container %s: %w", c.Name, err)
		}
	}
	return nil
}

// checkContainer holds what an empty entry of a list would break.
func checkContainer(c *corev1.Container, volumes []corev1.Volume) error {
	for i := range c.Env {
		if problem := envProblem(&c.Env[i]); problem != "" {
			return fmt.Errorf("env[%d]: %s", i, problem)
		}
	}
	for i, mount := range c.VolumeMounts {
		switch {
		case mount.MountPath == "":
			return fmt.Errorf("volumeMounts[%d] needs a mountPath: say where the volume %q is to be seen", i, mount.Name)
		case !slices.ContainsFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }):
			return fmt.Errorf("volumeMounts[%d]: the pod has no volume %q: add it to spec.volumes of the template", i, mount.Name)
		}
	}
	return nil
}

// envProblem says what is wrong with an environment variable; empty if nothing is.
// The schema holds it for spec.env only.
func envProblem(e *corev1.EnvVar) string {
	if e.Name == "" {
		return "the variable has no name: give it one"
	}
	from := e.ValueFrom
	if from == nil {
		return ""
	}
	sources := 0
	for _, given := range []bool{from.FieldRef != nil, from.ResourceFieldRef != nil, from.ConfigMapKeyRef != nil, from.SecretKeyRef != nil, from.FileKeyRef != nil} {
		if given {
			sources++
		}
	}
	switch {
	case sources != 1:
		return fmt.Sprintf("the variable %s has %d sources: name exactly one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef, or remove valueFrom", e.Name, sources)
	case e.Value != "":
		return fmt.Sprintf("the variable %s has a value and a valueFrom: remove one of the two", e.Name)
	case from.SecretKeyRef != nil && (from.SecretKeyRef.Name == "" || from.SecretKeyRef.Key == ""):
		return fmt.Sprintf("the secretKeyRef of the variable %s needs the name of a Secret and the key in it", e.Name)
	case from.ConfigMapKeyRef != nil && (from.ConfigMapKeyRef.Name == "" || from.ConfigMapKeyRef.Key == ""):
		return fmt.Sprintf("the configMapKeyRef of the variable %s needs the name of a ConfigMap and the key in it", e.Name)
	}
	return ""
}

func containerNamed(pod *corev1.PodSpec, name string) *corev1.Container {
	for i := range pod.Containers {
		if pod.Containers[i].Name == name {
			return &pod.Containers[i]
		}
	}
	return nil
}
