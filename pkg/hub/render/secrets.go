package render

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// SecretCopy is a Secret that an app's pods need from the hub.
type SecretCopy struct {
	// Source is the Secret in the app's namespace on the hub.
	Source string
	// Name is the copy on the member, APP.SECRET.
	Name string
	// Optional is true if the pods start without it: every reference says so.
	Optional bool
}

// copySecrets makes the pods refer to the copies and adds a frame for each.
func (r *rendering) copySecrets() error {
	found := map[string]SecretCopy{}
	err := r.editDeployment(func(d *appsv1.Deployment) error {
		for _, ref := range secretRefs(&d.Spec.Template.Spec) {
			source := *ref.name
			if source == "" || slices.Contains(r.in.Template.LocalSecrets, source) {
				continue
			}
			c, again := found[source]
			if !again {
				c = SecretCopy{Source: source, Name: r.in.Name + "." + source, Optional: true}
			}
			c.Optional = c.Optional && ref.optional
			found[source] = c
			*ref.name = c.Name
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return err
	}
	var frames []*object
	for _, source := range slices.Sorted(maps.Keys(found)) {
		c := found[source]
		if problems := validation.IsDNS1123Subdomain(c.Name); len(problems) > 0 {
			return failf(r.spec, "the pods refer to the Secret %q, and its copy on members would be called %q, which is not a name for a Secret: %s", c.Source, c.Name, problems[0])
		}
		frame, err := newObject(r.spec, &corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: r.objectMetaNamed(c.Name),
		})
		if err != nil {
			return err
		}
		frames = append(frames, frame)
		r.secrets = append(r.secrets, c)
	}
	first := 0
	if r.in.Template.ServiceAccount != nil {
		first = 1
	}
	r.objects = slices.Insert(r.objects, first, frames...)
	return nil
}

// secretRef is a place in a pod that names a Secret.
type secretRef struct {
	name     *string
	optional bool
}

// secretRefs are all places in a pod that name a Secret of its namespace, as the
// kubelet and the node authorizer see them. Storage drivers may take a Secret
// from another namespace, which is none of the app's.
func secretRefs(pod *corev1.PodSpec) []secretRef {
	var refs []secretRef
	local := func(ref *corev1.LocalObjectReference, optional *bool) {
		if ref != nil {
			refs = append(refs, secretRef{&ref.Name, optional != nil && *optional})
		}
	}
	named := func(name *string, optional *bool) {
		refs = append(refs, secretRef{name, optional != nil && *optional})
	}
	for i := range pod.ImagePullSecrets {
		local(&pod.ImagePullSecrets[i], nil)
	}
	container := func(env []corev1.EnvVar, envFrom []corev1.EnvFromSource) {
		for i := range env {
			if from := env[i].ValueFrom; from != nil && from.SecretKeyRef != nil {
				local(&from.SecretKeyRef.LocalObjectReference, from.SecretKeyRef.Optional)
			}
		}
		for i := range envFrom {
			if ref := envFrom[i].SecretRef; ref != nil {
				local(&ref.LocalObjectReference, ref.Optional)
			}
		}
	}
	for i := range pod.InitContainers {
		container(pod.InitContainers[i].Env, pod.InitContainers[i].EnvFrom)
	}
	for i := range pod.Containers {
		container(pod.Containers[i].Env, pod.Containers[i].EnvFrom)
	}
	for i := range pod.Volumes {
		volumeSecrets(&pod.Volumes[i].VolumeSource, local, named)
	}
	return refs
}

// volumeSecrets visits the Secrets that a volume names.
func volumeSecrets(v *corev1.VolumeSource, local func(*corev1.LocalObjectReference, *bool), named func(*string, *bool)) {
	if v.Secret != nil {
		named(&v.Secret.SecretName, v.Secret.Optional)
	}
	if v.Projected != nil {
		for i := range v.Projected.Sources {
			if s := v.Projected.Sources[i].Secret; s != nil {
				local(&s.LocalObjectReference, s.Optional)
			}
		}
	}
	if v.CSI != nil {
		local(v.CSI.NodePublishSecretRef, nil)
	}
	if v.AzureFile != nil {
		named(&v.AzureFile.SecretName, nil)
	}
	if v.CephFS != nil {
		local(v.CephFS.SecretRef, nil)
	}
	if v.Cinder != nil {
		local(v.Cinder.SecretRef, nil)
	}
	if v.FlexVolume != nil {
		local(v.FlexVolume.SecretRef, nil)
	}
	if v.RBD != nil {
		local(v.RBD.SecretRef, nil)
	}
	if v.ScaleIO != nil {
		local(v.ScaleIO.SecretRef, nil)
	}
	if v.ISCSI != nil {
		local(v.ISCSI.SecretRef, nil)
	}
	if v.StorageOS != nil {
		local(v.StorageOS.SecretRef, nil)
	}
}
