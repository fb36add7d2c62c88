package render

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
)

// addDeployment makes the workload: the app's container, its files, the
// sidecars, and then whatever spec.podTemplate says about all of it.
func (r *rendering) addDeployment() error {
	template, err := r.podTemplate()
	if err != nil {
		return err
	}
	replicas := r.in.Replicas
	if r.in.Template.Autoscaling != nil {
		replicas = minReplicas(r.in.Template.Autoscaling)
	}
	r.workload, err = newObject(r.spec, &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: r.objectMeta(),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: r.podSelector()},
			Template: template,
		},
	})
	r.objects = append(r.objects, r.workload)
	return err
}

func (r *rendering) podTemplate() (corev1.PodTemplateSpec, error) {
	t := r.in.Template
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
		labelName: r.in.Name, v1.LabelManagedBy: v1.ManagedBy,
	}}}
	maps.Copy(template.Labels, r.podSelector())
	app, err := r.container()
	if err != nil {
		return template, err
	}
	template.Spec.Containers = append(template.Spec.Containers, app)
	r.mountConfig(&template.Spec)
	for i := range t.Sidecars {
		sidecar, err := r.sidecar(i)
		if err != nil {
			return template, err
		}
		template.Spec.Containers = append(template.Spec.Containers, sidecar)
	}
	if t.ServiceAccount != nil {
		template.Spec.ServiceAccountName = r.in.Name
	}
	if t.PodTemplate == nil || len(t.PodTemplate.Raw) == 0 {
		return template, nil
	}
	return r.mergePodTemplate(template)
}

// nameAccountTwice names the pods' ServiceAccount by the field's old name as well.
// An API server fills that in by itself; then it is nobody's, stays when the other
// is dropped, and brings it back.
func (r *rendering) nameAccountTwice() error {
	pod := []string{"spec", "template", "spec"}
	name, _, err := unstructured.NestedString(r.workload.content, append(pod, "serviceAccountName")...)
	if err != nil || name == "" {
		return err
	}
	return unstructured.SetNestedField(r.workload.content, name, append(pod, "serviceAccount")...)
}

// container is the app's own.
func (r *rendering) container() (corev1.Container, error) {
	t := r.in.Template
	image, err := r.image(r.spec.Child("image"), t.Image)
	if err != nil {
		return corev1.Container{}, err
	}
	env, err := r.expandEnv(r.spec.Child("env"), t.Env)
	if err != nil {
		return corev1.Container{}, err
	}
	c := corev1.Container{
		Name:    r.in.Name,
		Image:   image,
		Command: t.Command,
		Args:    t.Args,
		Env:     env,
		EnvFrom: t.EnvFrom,
		Ports:   containerPorts(t.Ports),
	}
	if t.Resources != nil {
		c.Resources = *t.Resources
	}
	if t.Probes != nil {
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = t.Probes.Liveness, t.Probes.Readiness, t.Probes.Startup
	}
	return c, nil
}

func (r *rendering) sidecar(i int) (corev1.Container, error) {
	s, path := r.in.Template.Sidecars[i], r.spec.Child("sidecars").Index(i)
	if s.Name == r.in.Name {
		return corev1.Container{}, failf(path.Child("name"), "the app's own container is called %s: give the sidecar another name", s.Name)
	}
	image, err := r.image(path.Child("image"), s.Image)
	if err != nil {
		return corev1.Container{}, err
	}
	env, err := r.expandEnv(path.Child("env"), s.Env)
	if err != nil {
		return corev1.Container{}, err
	}
	c := corev1.Container{
		Name:    s.Name,
		Image:   image,
		Command: s.Command,
		Args:    s.Args,
		Env:     env,
		EnvFrom: s.EnvFrom,
		Ports:   containerPorts(s.Ports),
	}
	if s.Resources != nil {
		c.Resources = *s.Resources
	}
	return c, nil
}

func containerPorts(ports []v1.Port) []corev1.ContainerPort {
	var all []corev1.ContainerPort
	for _, p := range ports {
		all = append(all, corev1.ContainerPort{Name: p.Name, ContainerPort: p.ContainerPort, Protocol: protocol(p.Protocol)})
	}
	return all
}

func (r *rendering) expand(path *field.Path, text string, quote func(string) string) (string, error) {
	expanded, err := r.vars.expand(text, quote)
	if err != nil {
		return "", failf(path, "%s", err)
	}
	return expanded, nil
}

// image is a reference with its variables replaced.
func (r *rendering) image(path *field.Path, text string) (string, error) {
	reference, err := r.expand(path, text, plain)
	if err != nil {
		return "", err
	}
	if reference == "" || strings.ContainsFunc(reference, unicode.IsSpace) {
		return "", failf(path, "with the values of member %s it is %q, which is not a reference: correct the MemberCluster", r.in.Cluster.Name, reference)
	}
	return reference, nil
}

func (r *rendering) expandEnv(path *field.Path, env []corev1.EnvVar) ([]corev1.EnvVar, error) {
	expanded := slices.Clone(env)
	for i := range expanded {
		if problem := envProblem(&expanded[i]); problem != "" {
			return nil, failf(path.Index(i), "%s", problem)
		}
		value, err := r.expand(path.Index(i).Child("value"), expanded[i].Value, quoted)
		if err != nil {
			return nil, err
		}
		expanded[i].Value = value
	}
	return expanded, nil
}

// keepOrder puts what was there before to the front, in its order: a merge puts
// what it adds first, but the first container is the one that kubectl logs
// shows, and an environment variable may refer to those before it only.
func keepOrder[T any](before, merged []T, name func(T) string) {
	rank := make(map[string]int, len(before))
	for i, item := range before {
		rank[name(item)] = i - len(before)
	}
	slices.SortStableFunc(merged, func(a, b T) int { return cmp.Compare(rank[name(a)], rank[name(b)]) })
}
